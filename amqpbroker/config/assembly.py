"""Values that depend on several settings: listeners, users, limits, and some defaults."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from amqpbroker.compat import DEPRECATED_FEATURES
from amqpbroker.config.accepted import LISTENER, LeftOut
from amqpbroker.config.ciphers import CAN_CHOOSE_TLS_1_3, default_tls_1_3, is_tls_1_3
from amqpbroker.config.config import (
    CATEGORIES,
    GUEST,
    Config,
    DefaultLimits,
    DefaultOperatorPolicy,
    DefaultUser,
    Definitions,
    Limit,
    Listener,
    Management,
    Prometheus,
)
from amqpbroker.config.setting import ConfigError, Setting
from amqpbroker.config.tls import SniHost, Tls

#: Parsed values by key of the row, and by the word in place of its `$` ("" without one).
Values = Mapping[str, Mapping[str, Any]]
Warn = Callable[[str], None]

MANAGEMENT_TLS_PORT = 15671
PROMETHEUS_TLS_PORT = 15691
_LISTENER_DEFAULT = Config().listeners[0]


def merged(setting: Setting, earlier: Any, value: Any) -> Any:
    """Merge a further assignment of the same key, which replaces the value except for an omitted half of a listener."""
    if setting.accepted is not LISTENER or earlier is None:
        return value
    (host, port), (earlier_host, earlier_port) = value, earlier
    return host or earlier_host, earlier_port if port is None else port


def assembled(config: Config, values: Values, warn: Warn) -> Config:
    """Return `config`, which has the values of single settings, with those that depend on several.

    Raises ConfigError.
    """
    _check_frame_max(config)
    _check_backends(values)
    extensions = values.get("extensions", {"": True})[""]
    if not extensions:
        _check_without_extensions(config)
    listeners = _listeners(values, "tcp", config.listeners)
    tls_listeners = _listeners(values, "ssl", ())
    free = any(listener.port == 0 for listener in (*listeners, *tls_listeners))
    return replace(
        config,
        compat=config.compat.configured(_permit(values), extensions),
        listeners=listeners,
        tls_listeners=tls_listeners,
        tls=_tls(values, "ssl_options", config.tls, warn),
        management=_management(values, config.management, free, warn),
        prometheus=_prometheus(values, config.prometheus, free, warn),
        definitions=_definitions(values, config.definitions),
        default_limits=tuple(DefaultLimits(**parts) for parts in _gathered(values, "default_limits.vhosts").values()),
        default_operator_policies=_operator_policies(values),
        set_timestamp=_interceptor(values, "set_header_timestamp"),
        set_routing_node=_interceptor(values, "set_header_routing_node"),
        cluster_tags=tuple(values.get("cluster_tags.$tag", {}).items()),
        node_tags=tuple(values.get("node_tags.$tag", {}).items()),
        log=config.log._replace(levels=_log_levels(values)),
        loopback_users=_loopback_users(values, config.loopback_users),
        auth_mechanisms=_listed(values, "auth_mechanisms.$n") or config.auth_mechanisms,
        default_users=_default_users(values, config.default_vhost),
        defaults_given=any(
            key in ("default_user", "default_pass", "default_vhost") or key.startswith("default_users.")
            for key in values
        ),
        vm_memory_high_watermark=_limit(values, "vm_memory_high_watermark", config.vm_memory_high_watermark),
        disk_free_limit=_limit(values, "disk_free_limit", config.disk_free_limit),
        total_memory_bytes=values.get("total_memory_available_override_value", {}).get("", config.total_memory_bytes),
    )


def _check_frame_max(config: Config) -> None:
    """Raise ConfigError if no client could agree on a frame size."""
    for key, size in (("frame_max", config.frame_max), ("initial_frame_max", config.initial_frame_max)):
        if 0 < size < config.compat.frame_min:
            raise ConfigError(f"{key} = {size}: with this compat it must be at least {config.compat.frame_min}", key)


def _check_without_extensions(config: Config) -> None:
    """Raise ConfigError if a setting has a value that is an extension, although extensions are off."""
    default = Config()
    for key, attribute in (("queue.redeclare", "redeclare"), ("consumer.qos_applies_to", "qos_applies_to")):
        value, ordinary = getattr(config, attribute), getattr(default, attribute)
        if value != ordinary:
            raise ConfigError(f"{key} = {value}: with extensions = off it must be {ordinary}", key)


def _check_backends(values: Values) -> None:
    """Raise ConfigError unless the broker's own users and permissions are used, without further restrictions."""
    whole, passwords, rights = (values.get(f"auth_backends.$n{half}", {}) for half in ("", ".authn", ".authz"))
    for n, value in rights.items():
        if isinstance(value, LeftOut) and not isinstance(passwords.get(n), LeftOut):
            key = f"auth_backends.{n}.authz"
            raise ConfigError(
                f"{key} must be internal, unless auth_backends.{n}.authn is another backend: {value.reason}", key
            )
    halves = ("auth_backends.$n.authn", passwords), ("auth_backends.$n", whole)
    left_out = {
        n: (key, value.reason) for key, half in halves for n, value in half.items() if isinstance(value, LeftOut)
    }
    if left_out and not {*whole, *passwords, *rights} - {*left_out}:
        key, reason = left_out[max(left_out)]
        raise ConfigError(f"auth_backends has no supported value: {reason}", key.replace("$n", max(left_out)))


def _permit(values: Values) -> Mapping[str, bool]:
    permit = values.get("deprecated_features.permit.$name", {})
    for name in permit:
        if name not in DEPRECATED_FEATURES:
            raise ConfigError(
                f"deprecated_features.permit.{name}: unknown feature; choose from {', '.join(DEPRECATED_FEATURES)}",
                f"deprecated_features.permit.{name}",
            )
    return permit


def _listeners(values: Values, kind: str, default: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Return the listeners of a kind; one without a host has that of the default TCP listener."""
    if f"listeners.{kind}" in values:
        return ()
    default_host = values.get("listeners.tcp.default", {}).get("", ("", None))[0] or _LISTENER_DEFAULT.host
    default_port = _LISTENER_DEFAULT.port if kind == "tcp" else 5671
    found = [
        Listener(host or default_host, default_port if port is None else port)
        for name in ("default", "$name")
        for host, port in values.get(f"listeners.{kind}.{name}", {}).values()
    ]
    return tuple(found) or default


def _tls(values: Values, prefix: str, tls: Tls, warn: Warn) -> Tls:
    hosts: dict[str, SniHost] = {}
    for attribute in ("certfile", "keyfile"):
        for host, file in values.get(f"{prefix}.sni.$host.{attribute}", {}).items():
            hosts[host] = hosts.get(host, SniHost(host))._replace(**{attribute: file})
    ciphers = _listed(values, f"{prefix}.ciphers.$n")
    versions = _listed(values, f"{prefix}.versions.$n") or tls.versions
    if ciphers:
        versions = _versions_with_ciphers(prefix, versions, ciphers, warn)
    return replace(tls, versions=versions, ciphers=ciphers, sni=tuple(hosts.values()))


def _versions_with_ciphers(
    prefix: str, versions: tuple[str, ...], ciphers: tuple[str, ...], warn: Warn
) -> tuple[str, ...]:
    """Return the TLS versions that have a suite in the list. Raises ConfigError if there is none."""
    with_ciphers = {"tlsv1.3" if is_tls_1_3(suite) else "tlsv1.2" for suite in ciphers}
    left = tuple(version for version in versions if version in with_ciphers)
    if not left:
        raise ConfigError(f"{prefix}.ciphers has no suite of {' or '.join(versions)}", f"{prefix}.ciphers.1")
    for version in versions:
        if version not in left:
            warn(f"{version} is disabled, because {prefix}.ciphers has none of its suites")
    further = default_tls_1_3() - set(ciphers)
    if "tlsv1.3" in left and further and not CAN_CHOOSE_TLS_1_3:
        warn(
            f"{prefix}.ciphers: TLS 1.3 also uses {', '.join(sorted(further))}, because this Python cannot"
            f" choose its suites; remove tlsv1.3 from {prefix}.versions to prevent that"
        )
    return left


def _management(values: Values, management: Management, free: bool, warn: Warn) -> Management:
    port = _http_port(values, "management", management.port, free)
    tls_port = _http_tls_port(values, "management", MANAGEMENT_TLS_PORT)
    tls_host = management.tls_host
    by_tls = values.get("management.listener.ssl", {}).get("")
    if by_tls:
        port, tls_port, tls_host = None, management.port, management.host
    elif by_tls is False and "management.ssl.port" not in values:
        port, tls_port = management.port, None
    return management._replace(
        port=port,
        tls_port=tls_port,
        tls_host=tls_host,
        tls=_tls(values, "management.ssl", management.tls, warn),
        cors_allow_origins=_listed(values, "management.cors.allow_origins.$n")
        if "management.cors.allow_origins" not in values
        else (),
        trusted_proxies=_listed(values, "management.trusted_proxies.$n"),
    )


def _prometheus(values: Values, prometheus: Prometheus, free: bool, warn: Warn) -> Prometheus:
    return prometheus._replace(
        port=_http_port(values, "prometheus", prometheus.port, free),
        tls_port=_http_tls_port(values, "prometheus", PROMETHEUS_TLS_PORT),
        tls=_tls(values, "prometheus.ssl", prometheus.tls, warn),
    )


def _http_port(values: Values, prefix: str, port: int | None, free: bool) -> int | None:
    """Return the TCP port. As in RabbitMQ, options for TLS alone disable the TCP listener."""
    if f"{prefix}.tcp.port" in values:
        return port
    if _any(values, f"{prefix}.ssl.") and not _any(values, f"{prefix}.tcp."):
        return None
    return 0 if free else port


def _http_tls_port(values: Values, prefix: str, default: int) -> int | None:
    key = f"{prefix}.ssl.port"
    if key in values:
        port: int | None = values[key][""]
        return port
    return default if _any(values, f"{prefix}.ssl.") else None


def _any(values: Values, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in values)


def _definitions(values: Values, definitions: Definitions) -> Definitions:
    keys = ("load_definitions", "definitions.local.path", "management.load_definitions")
    return definitions._replace(paths=tuple(dict.fromkeys(values[key][""] for key in keys if key in values)))


def _gathered(values: Values, prefix: str) -> dict[str, dict[str, Any]]:
    """Return the assigned values below the prefix: by the next word, then by the rest of the key."""
    gathered: dict[str, dict[str, Any]] = {}
    for key, named in values.items():
        if key.startswith(f"{prefix}.$"):
            for name, value in named.items():
                gathered.setdefault(name, {})[key.split(".", prefix.count(".") + 2)[-1]] = value
    return gathered


def _operator_policies(values: Values) -> tuple[DefaultOperatorPolicy, ...]:
    """Return the operator policies. All keys except patterns belong to the definition, which has hyphens."""
    patterns = ("vhost_pattern", "queue_pattern")
    return tuple(
        DefaultOperatorPolicy(
            name,
            definition=tuple(
                (key.rpartition(".")[2].replace("_", "-"), value) for key, value in parts.items() if key not in patterns
            ),
            **{pattern: parts[pattern] for pattern in patterns if pattern in parts},
        )
        for name, parts in _gathered(values, "default_policies.operator").items()
    )


def _interceptor(values: Values, name: str) -> bool | None:
    overwrite: bool | None = values.get(f"message_interceptors.incoming.{name}.overwrite", {}).get("")
    return overwrite


def _log_levels(values: Values) -> tuple[tuple[str, str], ...]:
    levels = values.get("log.$category.level", {})
    for name in levels:
        if name not in CATEGORIES:
            raise ConfigError(
                f"log.{name}.level: unknown category; choose from {', '.join(CATEGORIES)}", f"log.{name}.level"
            )
    return tuple(levels.items())


def _loopback_users(values: Values, default: frozenset[str]) -> frozenset[str]:
    if "loopback_users" in values:
        return frozenset()
    if "loopback_users.$user" not in values:
        return default
    return frozenset(user for user, only in values["loopback_users.$user"].items() if only)


def _listed(values: Values, key: str) -> tuple[str, ...]:
    """Return the distinct values of numbered keys in the order of the numbers, without ignored ones.

    Raises ConfigError if values were assigned and all of them are ignored.
    """
    numbered = values.get(key, {})
    ordered = [numbered[n] for n in sorted(numbered, key=lambda n: (len(n), n))]
    kept = tuple(dict.fromkeys(value for value in ordered if not isinstance(value, LeftOut)))
    if ordered and not kept:
        last = key.replace("$n", list(numbered)[-1])
        raise ConfigError(f"{key.removesuffix('.$n')} has no supported value: {ordered[-1].reason}", last)
    return kept


def _limit(values: Values, key: str, default: Limit) -> Limit:
    """Return a limit. Either half replaces the default, and if both are set, the absolute one is used."""
    if f"{key}.absolute" in values:
        return Limit(absolute_bytes=values[f"{key}.absolute"][""])
    if f"{key}.relative" in values:
        return Limit(relative=values[f"{key}.relative"][""])
    return default


def _default_users(values: Values, vhost: str) -> tuple[DefaultUser, ...]:
    tags = values.get("default_user_tags.$tag", {"administrator": True})
    permissions = ("configure", "write", "read")
    first = replace(
        GUEST,
        name=values.get("default_user", {}).get("", GUEST.name),
        password=values.get("default_pass", {}).get("", GUEST.password),
        tags=tuple(tag for tag, has in tags.items() if has),
        vhost_pattern=f"^{re.escape(vhost)}$",
        **{p: values[f"default_permissions.{p}"][""] for p in permissions if f"default_permissions.{p}" in values},
    )
    further = _gathered(values, "default_users")
    return (first, *(DefaultUser(name, **attributes) for name, attributes in further.items() if name != first.name))

"""Every setting, once: RabbitMQ's key, what it accepts, where it comes from and one line about it.

`SETTINGS` is the table. `load` reads assignments by it, the reference page and the tests read it too. Key names and
defaults are RabbitMQ's (deps/rabbit/priv/schema/rabbit.schema); a `$name` in a key stands for any word without a dot.
"""

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from amqpbroker.compat import COMPATS, DEPRECATED_FEATURES, Compat


class ConfigError(ValueError):
    """A setting that does not exist or a value that it cannot take; the text says what would do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: a host name or address, and a port (0 takes a free one)."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DefaultUser:
    """A user of a new broker, with permissions on every vhost whose name `vhost_pattern` is found in.

    A user without a password cannot log in with one.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    vhost_pattern: str = ".*"
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of bytes or, where that is None, a share of the memory."""

    absolute_bytes: int | None = None
    relative: float = 0.0

    def of(self, total_bytes: int) -> int:
        """The limit in bytes, given how much memory there is."""
        return int(self.relative * total_bytes) if self.absolute_bytes is None else self.absolute_bytes


_GUEST = DefaultUser("guest", "guest", ("administrator",), "^/$")


@dataclass(frozen=True, slots=True)
class Config:
    """What one broker runs with. `load` makes it from RabbitMQ's keys; tests may construct it directly.

    Where a limit is 0 there is none, and a `consumer_timeout_ms` of 0 is off. An empty `data_dir` is the user's own.
    A `total_memory_bytes` of None is what the machine or the container has.
    `initial_frame_max` and `product_version` are those of `compat` unless they are given.
    """

    listeners: tuple[Listener, ...] = (Listener("127.0.0.1", 5672),)
    management_port: int = 15672
    data_dir: str = ""
    in_memory: bool = False
    handshake_timeout_ms: int = 10_000
    heartbeat_s: int = 60
    frame_max: int = 131_072
    initial_frame_max: int = 0
    channel_max: int = 2047
    max_connections: int = 0
    max_message_size: int = 16_777_216
    consumer_timeout_ms: int = 1_800_000
    consumer_max_per_channel: int = 0
    channel_tick_interval_ms: int = 60_000
    loopback_users: frozenset[str] = frozenset({"guest"})
    auth_mechanisms: tuple[str, ...] = ("AMQPLAIN", "ANONYMOUS", "PLAIN")
    default_vhost: str = "/"
    default_users: tuple[DefaultUser, ...] = (_GUEST,)
    default_queue_type: str = "classic"
    durability: str = "fsync"
    vm_memory_high_watermark: Limit = Limit(relative=0.6)
    disk_free_limit: Limit = Limit(absolute_bytes=50_000_000)
    total_memory_bytes: int | None = None
    cluster_name: str = "amqpbroker@localhost"
    product_name: str = "RabbitMQ"
    product_version: str = ""
    compat: Compat = COMPATS["4.0"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial_frame_max", self.initial_frame_max or self.compat.frame_min)
        object.__setattr__(self, "product_version", self.product_version or self.compat.version)

    @property
    def host(self) -> str:
        """The host of the first listener."""
        return self.listeners[0].host

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.listeners[0].port


@dataclass(frozen=True, slots=True)
class Accepted:
    """A kind of value: `parse` raises ValueError for anything but what `text` describes."""

    text: str
    parse: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    `attribute` is the Config attribute that the value becomes; a setting that only together with others makes an
    attribute has none. `default` is the default as it would be written.
    """

    key: str
    accepted: Accepted
    default: str
    doc: str
    attribute: str = ""
    environment: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


# --- kinds of value --------------------------------------------------------------------------------------------------


def _integer(low: int, high: int, unit: str = "", **words: int) -> Accepted:
    """A whole number from `low` to `high`; `words` are spelled values, such as infinity for no limit."""

    def parse(text: str) -> int:
        if text in words:
            return words[text]
        if not re.fullmatch("[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    number = f"a whole number from {low} to {high}" + (f" ({unit})" if unit else "")
    return Accepted(" or ".join((*words, number)), parse)


_BYTE_UNITS = {"": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}


def _bytesize(low: int, high: int, **words: int) -> Accepted:
    """A number of bytes, as cuttlefish reads it: the units are powers of 1024."""

    def parse(text: str) -> int:
        if text in words:
            return words[text]
        match = re.fullmatch("([0-9]{1,18})(|kb|mb|gb)", text.lower())
        if match is None or not low <= (size := int(match[1]) * _BYTE_UNITS[match[2]]) <= high:
            raise ValueError(text)
        return size

    number = f"a number of bytes from {low} to {high}, which may end in kB, MB or GB"
    return Accepted(" or ".join((*words, number)), parse)


_INFORMATION_UNITS = ("", "k", "m", "g", "t", "p")


def _information(text: str) -> int:
    """A number of bytes, as rabbit_resource_monitor_misc reads it: the units are powers of 1000, with an i of 1024."""
    match = re.fullmatch("([0-9]{1,18})(?:([kmgtp])(i?)b?)?", text.lower())
    if match is None:
        raise ValueError(text)
    factor: int = (1024 if match[3] else 1000) ** _INFORMATION_UNITS.index(match[2] or "")
    return int(match[1]) * factor


def _share(high: float) -> Accepted:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or float(text) > high:
            raise ValueError(text)
        return float(text)

    return Accepted(f"a number from 0 to {high:g}, such as 0.5", parse)


def _one_of(*words: str) -> Accepted:
    return Accepted(" or ".join(words), lambda text: words[words.index(text)])


def _name(text: str) -> str:
    if not 1 <= len(text.encode()) <= 255:
        raise ValueError(text)
    return text


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(text) from error
    return text


def _is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except OSError:
        return False
    return True


def _listener(text: str) -> tuple[str, int | None]:
    """(host or "", port or None). An IPv6 address may go without brackets, as RabbitMQ writes it: `:::5672`."""
    if bracketed := re.fullmatch(r"\[([^\[\]]+)\](?::([0-9]{1,5}))?", text):
        host, port = bracketed[1], bracketed[2] or ""
    else:
        host, colon, port = text.rpartition(":")
        if not (colon and port.isdecimal()) or (":" in host and not _is_ipv6(host)):
            host, port = ("", text) if text.isdecimal() else (text, "")
    if not (_is_ipv6(host) or re.fullmatch(r"\w[\w.-]*", host) or (port and not host)):
        raise ValueError(text)
    if not port:
        return host, None
    if not 0 <= int(port) <= 65535:
        raise ValueError(text)
    return host, int(port)


def _compat(text: str) -> Compat:
    if text not in COMPATS:
        raise ValueError(text)
    return COMPATS[text]


_ANY = Accepted("any text", str)
_BOOLEAN = Accepted("true or false", lambda text: ("false", "true").index(text) == 1)
_COMPAT = Accepted(" or ".join(COMPATS), _compat)
_INFORMATION = Accepted("a number of bytes, which may end in kB, MB or GB, or KiB, MiB or GiB", _information)
_LISTENER = Accepted("PORT, HOST or HOST:PORT, with a port from 0 to 65535", _listener)
_NAME = Accepted("a name of 1 to 255 bytes", _name)
_REGEX = Accepted("a regular expression", _regex)
_TAGS = Accepted("tags, separated by commas", lambda text: tuple(re.findall(r"[^,\s]+", text)))
_MAX_INT = 2**31 - 1

# --- the table -------------------------------------------------------------------------------------------------------

# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("listeners.tcp.default", _LISTENER, "127.0.0.1:5672",
            "Where to listen for AMQP. A half that is left out keeps its value; port 0 takes a free one.",
            environment=("RABBITMQ_NODE_IP_ADDRESS", "RABBITMQ_NODE_PORT")),
    Setting("listeners.tcp.$name", _LISTENER, "",
            "A further listener; without a host it has that of the default one."),
    Setting("management.tcp.port", _integer(0, 65535), "15672",
            "The port of the management API, which is still to come.", "management_port"),
    Setting("handshake_timeout", _integer(1, _MAX_INT, "ms"), "10000",
            "How long a client may take from connecting to connection.open.", "handshake_timeout_ms"),
    Setting("heartbeat", _integer(0, 65535, "s"), "60",
            "The heartbeat interval suggested to clients, who decide. 0 suggests none.", "heartbeat_s"),
    Setting("frame_max", _bytesize(4096, _MAX_INT, **{"0": 0}), "131072",
            "The largest frame. 0 is no limit.", "frame_max"),
    Setting("initial_frame_max", _bytesize(4096, _MAX_INT), "4096",
            "The largest frame before the client has logged in. With compat 4.1 and later the default is 8192.",
            "initial_frame_max"),
    Setting("channel_max", _integer(0, 65535), "2047",
            "How many channels a connection may have open. 0 is no limit.", "channel_max",
            aliases=("max_channels_per_connection",)),
    Setting("connection_max", _integer(1, _MAX_INT, infinity=0), "infinity",
            "How many connections may be open.", "max_connections", aliases=("max_connections",)),
    Setting("max_message_size", _integer(1, 536_870_912, "bytes"), "16777216",
            "The largest message body; a larger one closes its channel with 406.", "max_message_size"),
    Setting("consumer_timeout", _integer(1, 2**53, "ms", undefined=0, false=0), "1800000",
            "How long a delivery may stay unacknowledged before its channel is closed with 406.",
            "consumer_timeout_ms"),
    Setting("consumer_max_per_channel", _integer(1, _MAX_INT, infinity=0), "infinity",
            "How many consumers a channel may have.", "consumer_max_per_channel"),
    Setting("channel_tick_interval", _integer(1, _MAX_INT, "ms"), "60000",
            "How often a channel looks for deliveries past consumer_timeout, which may fire late by as much.",
            "channel_tick_interval_ms"),
    Setting("loopback_users", _one_of("none"), "",
            "`none` lets every user connect from anywhere."),
    Setting("loopback_users.$user", _BOOLEAN, "guest = true",
            "Whether this user may connect from this machine only. Any such line replaces the default."),
    Setting("auth_mechanisms.$n", _one_of("PLAIN", "AMQPLAIN", "ANONYMOUS"), "1 = AMQPLAIN, 2 = ANONYMOUS, 3 = PLAIN",
            "The SASL mechanisms offered, in the order of their numbers. Any such line replaces the default."),
    Setting("default_vhost", _NAME, "/",
            "The vhost that a new broker has.", "default_vhost", environment=("RABBITMQ_DEFAULT_VHOST",)),
    Setting("default_user", _NAME, "guest",
            "The user that a new broker has.", environment=("RABBITMQ_DEFAULT_USER",)),
    Setting("default_pass", _ANY, "guest",
            "That user's password.", environment=("RABBITMQ_DEFAULT_PASS",)),
    Setting("default_user_tags.$tag", _BOOLEAN, "administrator = true",
            "That user's tags. Any such line replaces the default."),
    Setting("default_permissions.configure", _REGEX, ".*", "What that user may configure in default_vhost."),
    Setting("default_permissions.write", _REGEX, ".*", "What that user may write to in default_vhost."),
    Setting("default_permissions.read", _REGEX, ".*", "What that user may read from in default_vhost."),
    Setting("default_users.$name.password", _ANY, "", "A further user; one without a password cannot use one."),
    Setting("default_users.$name.tags", _TAGS, "", "The tags of this user."),
    Setting("default_users.$name.vhost_pattern", _REGEX, ".*", "The vhosts where this user has the following rights."),
    Setting("default_users.$name.configure", _REGEX, ".*", "What this user may configure."),
    Setting("default_users.$name.write", _REGEX, ".*", "What this user may write to."),
    Setting("default_users.$name.read", _REGEX, ".*", "What this user may read from."),
    Setting("default_queue_type", _one_of("classic", "quorum"), "classic",
            "The type of a queue declared without x-queue-type.", "default_queue_type"),
    Setting("durability", _one_of("fsync", "os", "none"), "fsync",
            "What a confirm of a persistent message vouches for: `fsync`, it is on the disk and survives a power loss;"
            " `os`, it is with the operating system and survives kill -9; `none`, the broker has it, and kill -9 may"
            " lose what the last turns of its loop took.", "durability"),
    Setting("vm_memory_high_watermark.relative", _share(1), "0.6",
            "The share of the memory that the broker may take before publishers are blocked. The memory is the"
            " machine's or, if that is less, the container's. Known on Linux only: elsewhere nothing is blocked."),
    Setting("vm_memory_high_watermark.absolute", _INFORMATION, "",
            "The same as a number of bytes, which wins over the share."),
    Setting("total_memory_available_override_value", _INFORMATION, "",
            "How much memory there is, where the machine or the container says something else."),
    Setting("disk_free_limit.absolute", _INFORMATION, "50MB",
            "How much must be free where the data directory is; below that publishers are blocked. 0 never blocks."),
    Setting("disk_free_limit.relative", _share(1000), "",
            "The same as a multiple of the memory; disk_free_limit.absolute wins."),
    Setting("cluster_name", _NAME, "amqpbroker@localhost",
            "The name of the cluster that clients are told.", "cluster_name"),
    Setting("product.name", _NAME, "RabbitMQ",
            "The product that clients are told; some behave differently for others.", "product_name"),
    Setting("product.version", _NAME, "4.0.5",
            "The version that clients are told. The default is the last release known of the series that compat names.",
            "product_version"),
    Setting("compat", _COMPAT, "4.0",
            "The release series of RabbitMQ whose behaviour clients see; docs/compatibility.md has what differs.",
            "compat"),
    Setting("deprecated_features.permit.$name", _BOOLEAN, "",
            "Whether this deprecated feature of RabbitMQ may be used, whatever the release's default. What is modelled"
            " are `transient_nonexcl_queues` and `global_qos`."),
)
# fmt: on


# --- reading it ------------------------------------------------------------------------------------------------------


def load(assignments: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> Config:
    """The configuration that `assignments`, (key, value) pairs of which the last one wins, make.

    Variables of `environ` that the table names count as if they were assigned first. Raises ConfigError.
    """
    values: dict[str, dict[str, Any]] = {}
    listeners: dict[str, tuple[str, int | None]] = {}
    for key, text in (*_from_environment(environ), *assignments):
        setting, name = find(key)
        try:
            value = setting.accepted.parse(text)
        except ValueError:
            raise ConfigError(f"{key} = {text}: this must be {setting.accepted.text}") from None
        if setting.accepted is _LISTENER:
            name = name or "default"
            host, port = listeners.get(name, ("", None))
            listeners[name] = (value[0] or host, port if value[1] is None else value[1])
        else:
            values.setdefault(setting.key, {})[name] = value

    simple = {s.attribute: values[s.key][""] for s in SETTINGS if s.attribute and s.key in values}
    config = Config(**simple)
    _check_frame_max(config)
    return replace(
        config,
        compat=config.compat.configured(_permit(values)),
        listeners=_listeners(listeners) or config.listeners,
        loopback_users=_loopback_users(values, config.loopback_users),
        auth_mechanisms=_auth_mechanisms(values) or config.auth_mechanisms,
        default_users=_default_users(values, config.default_vhost),
        vm_memory_high_watermark=_limit(values, "vm_memory_high_watermark", config.vm_memory_high_watermark),
        disk_free_limit=_limit(values, "disk_free_limit", config.disk_free_limit),
        total_memory_bytes=values.get("total_memory_available_override_value", {}).get("", config.total_memory_bytes),
    )


def find(key: str) -> tuple[Setting, str]:
    """The row for a key, and the word that stands where the row has a `$`, or "". Raises ConfigError if unknown."""
    words = key.split(".")
    for setting in SETTINGS:
        for pattern in (setting.key, *setting.aliases):
            parts = pattern.split(".")
            if len(parts) == len(words) and all(
                p == w or (p[0] == "$" and w) for p, w in zip(parts, words, strict=True)
            ):
                return setting, next((w for p, w in zip(parts, words, strict=True) if p[0] == "$"), "")
    import difflib

    nearest = difflib.get_close_matches(key, [setting.key for setting in SETTINGS], 1, 0.0)[0]
    raise ConfigError(f"there is no setting {key}; did you mean {nearest}?")


def _check_frame_max(config: Config) -> None:
    """Raises ConfigError where no client could agree on a frame size."""
    for key, size in (("frame_max", config.frame_max), ("initial_frame_max", config.initial_frame_max)):
        if 0 < size < config.compat.frame_min:
            raise ConfigError(f"{key} = {size}: with this compat it must be at least {config.compat.frame_min}")


def _permit(values: Mapping[str, Mapping[str, Any]]) -> Mapping[str, bool]:
    permit = values.get("deprecated_features.permit.$name", {})
    for name in permit:
        if name not in DEPRECATED_FEATURES:
            raise ConfigError(
                f"deprecated_features.permit.{name}: there is no such feature, only {', '.join(DEPRECATED_FEATURES)}"
            )
    return permit


def _from_environment(environ: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for setting in SETTINGS:
        for variable in setting.environment:
            if environ.get(variable):
                yield setting.key, environ[variable]


def _listeners(named: Mapping[str, tuple[str, int | None]]) -> tuple[Listener, ...]:
    default = Config().listeners[0]
    host = named.get("default", ("", None))[0] or default.host
    return tuple(Listener(h or host, default.port if p is None else p) for h, p in named.values())


def _loopback_users(values: Mapping[str, Mapping[str, Any]], default: frozenset[str]) -> frozenset[str]:
    if "loopback_users" in values:
        return frozenset()
    if "loopback_users.$user" not in values:
        return default
    return frozenset(user for user, only in values["loopback_users.$user"].items() if only)


def _auth_mechanisms(values: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    numbered = values.get("auth_mechanisms.$n", {})
    return tuple(dict.fromkeys(numbered[n] for n in sorted(numbered, key=lambda n: (len(n), n))))


def _limit(values: Mapping[str, Mapping[str, Any]], key: str, default: Limit) -> Limit:
    """Either half replaces the default; of both, the absolute one wins."""
    if f"{key}.absolute" in values:
        return Limit(absolute_bytes=values[f"{key}.absolute"][""])
    if f"{key}.relative" in values:
        return Limit(relative=values[f"{key}.relative"][""])
    return default


def _default_users(values: Mapping[str, Mapping[str, Any]], vhost: str) -> tuple[DefaultUser, ...]:
    tags = values.get("default_user_tags.$tag", {"administrator": True})
    permissions = ("configure", "write", "read")
    first = replace(
        _GUEST,
        name=values.get("default_user", {}).get("", _GUEST.name),
        password=values.get("default_pass", {}).get("", _GUEST.password),
        tags=tuple(tag for tag, has in tags.items() if has),
        vhost_pattern=f"^{re.escape(vhost)}$",
        **{p: values[f"default_permissions.{p}"][""] for p in permissions if f"default_permissions.{p}" in values},
    )
    further: dict[str, dict[str, Any]] = {}
    for attribute in ("password", "tags", "vhost_pattern", *permissions):
        for name, value in values.get(f"default_users.$name.{attribute}", {}).items():
            further.setdefault(name, {})[attribute] = value
    return (first, *(DefaultUser(name, **attributes) for name, attributes in further.items() if name != first.name))

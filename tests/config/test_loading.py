import dataclasses

import pytest

from amqpbroker import __version__
from amqpbroker.compat import COMPATS
from amqpbroker.config import (
    Config,
    ConfigError,
    DefaultLimits,
    DefaultOperatorPolicy,
    DefaultUser,
    Definitions,
    Limit,
    Listener,
    Management,
    Prometheus,
    SniHost,
    Tls,
    find,
    load,
    load_all,
)


def test_configuration_without_assignments_is_the_default():
    assert load([], {}) == Config()


def test_the_default_user_is_guest_with_everything_on_the_default_vhost():
    (user,) = Config().default_users
    assert user == DefaultUser("guest", "guest", ("administrator",), "^/$", ".*", ".*", ".*")


@pytest.mark.parametrize(
    ("key", "text", "attribute", "value"),
    [
        ("handshake_timeout", "20000", "handshake_timeout_ms", 20000),
        ("heartbeat", "0", "heartbeat_s", 0),
        ("frame_max", "0", "frame_max", 0),
        ("frame_max", "256kB", "frame_max", 262_144),
        ("channel_max", "0", "channel_max", 0),
        ("max_channels_per_connection", "7", "channel_max", 7),
        ("connection_max", "infinity", "max_connections", 0),
        ("max_connections", "3", "max_connections", 3),
        ("consumer_timeout", "undefined", "consumer_timeout_ms", 0),
        ("consumer_timeout", "false", "consumer_timeout_ms", 0),
        ("consumer_timeout", "5000", "consumer_timeout_ms", 5000),
        ("consumer_max_per_channel", "2", "consumer_max_per_channel", 2),
        ("queue.redeclare", "warn", "redeclare", "warn"),
        ("consumer.qos_applies_to", "running", "qos_applies_to", "running"),
        ("max_message_size", "536870912", "max_message_size", 536_870_912),
        ("default_queue_type", "quorum", "default_queue_type", "quorum"),
        ("product.version", "4.1.0", "product_version", "4.1.0"),
        ("product.identity", "rabbitmq", "product_identity", "rabbitmq"),
        ("initial_frame_max", "8192", "initial_frame_max", 8192),
        ("loopback_users", "none", "loopback_users", frozenset()),
        ("loopback_users.guest", "false", "loopback_users", frozenset()),
        ("loopback_users.bob", "true", "loopback_users", frozenset({"bob"})),
        ("auth_mechanisms.1", "AMQPLAIN", "auth_mechanisms", ("AMQPLAIN",)),
        ("vm_memory_high_watermark.relative", "0.4", "vm_memory_high_watermark", Limit(relative=0.4)),
        ("vm_memory_high_watermark.relative", "1", "vm_memory_high_watermark", Limit(relative=1.0)),
        ("vm_memory_high_watermark.absolute", "0", "vm_memory_high_watermark", Limit(0)),
        ("vm_memory_high_watermark.absolute", "3MB", "vm_memory_high_watermark", Limit(3_000_000)),
        ("vm_memory_high_watermark.absolute", "3M", "vm_memory_high_watermark", Limit(3_000_000)),
        ("vm_memory_high_watermark.absolute", "3MiB", "vm_memory_high_watermark", Limit(3 << 20)),
        ("disk_free_limit.absolute", "2Gi", "disk_free_limit", Limit(2 << 30)),
        ("disk_free_limit.absolute", "50000kB", "disk_free_limit", Limit(50_000_000)),
        ("disk_free_limit.relative", "1.5", "disk_free_limit", Limit(relative=1.5)),
        ("total_memory_available_override_value", "8GB", "total_memory_bytes", 8_000_000_000),
        ("auth_mechanisms.1", "EXTERNAL", "auth_mechanisms", ("EXTERNAL",)),
        ("listeners.tcp", "none", "listeners", ()),
        ("listeners.ssl.default", "5671", "tls_listeners", (Listener("127.0.0.1", 5671),)),
        ("ssl_options.verify", "verify_peer", "tls", Tls(verify_peer=True)),
        ("ssl_options.versions.1", "tlsv1.3", "tls", Tls(versions=("tlsv1.3",))),
        (r"ssl_options.sni.mq\.example.keyfile", "k.pem", "tls", Tls(sni=(SniHost("mq.example", "", "k.pem"),))),
        ("management.tcp.port", "none", "management", Management(port=None)),
        ("management.listener.port", "1", "management", Management(port=1)),
        ("management.tcp.ip", "::", "management", Management(host="::")),
        ("management.path_prefix", "/a/b/", "management", Management(path_prefix="/a/b")),
        ("management.ssl.port", "443", "management", Management(port=None, tls_port=443)),
        ("prometheus.tcp.port", "none", "prometheus", Prometheus(port=None)),
        ("default_queue_type", "rabbit_quorum_queue", "default_queue_type", "quorum"),
        ("handshake_timeout", "infinity", "handshake_timeout_ms", 2**31 - 1),
        ("anonymous_login_user", "none", "anonymous_login_user", None),
        ("cluster_queue_limit", "5", "cluster_queue_limit", 5),
        ("message_interceptors.incoming.set_header_timestamp.overwrite", "false", "set_timestamp", False),
        ("cluster_tags.region", "eu", "cluster_tags", (("region", "eu"),)),
        ("load_definitions", "a.json", "definitions", Definitions(("a.json",))),
        ("collect_statistics_interval", "1000", "collect_statistics_interval_ms", 1000),
    ],
)
def test_single_assignment_sets_its_configuration_value(key, text, attribute, value):
    assert load([(key, text)], {}) == dataclasses.replace(Config(), **{attribute: value})


@pytest.mark.parametrize(
    ("key", "text", "accepted"),
    [
        ("heartbeat", "often", "a whole number from 0 to 65535"),
        ("management.trusted_proxies.1", "*", "an IP address or a network"),
        ("management.trusted_proxies.1", "10.0.0.1/8", "an IP address or a network"),
        ("management.trusted_proxies.1", "proxy.example", "an IP address or a network"),
        ("heartbeat", "-1", "a whole number"),
        ("heartbeat", "65536", "65535"),
        ("heartbeat", "", "a whole number"),
        ("frame_max", "4095", "0 or a number of bytes from 4096"),
        ("connection_max", "0", "infinity or a whole number from 1"),
        ("max_message_size", "536870913", "536870912"),
        ("default_queue_type", "streams", "classic or quorum or stream or rabbit_classic_queue"),
        ("loopback_users", "all", "none"),
        ("loopback_users.guest", "yes", "true or false"),
        ("compat", "3.13", "4.0 or 4.1 or 4.2 or 4.3"),
        ("deprecated_features.permit.global_qos", "yes", "true or false"),
        ("auth_mechanisms.1", "GSSAPI", "PLAIN or AMQPLAIN or ANONYMOUS or EXTERNAL"),
        ("auth_backends.1", "mine", "internal or rabbit_auth_backend_internal"),
        ("auth_backends.1.authn", "mine", "internal or rabbit_auth_backend_internal"),
        ("auth_backends.1.authz", "rabbit_auth_backend_ip_range", "internal or rabbit_auth_backend_internal"),
        ("queue_types.classic.enabled", "false", "true"),
        ("queue_types.stream.enabled", "false", "true"),
        ("default_policies.operator.a.expires", "soon", "a duration from 1ms to 3650d, such as 5d or 1h30m"),
        ("default_policies.operator.a.expires", "0", "a duration from 1ms to 3650d"),
        ("default_policies.operator.a.expires", "3651d", "to 3650d"),
        ("default_policies.operator.a.message_ttl", "9" * 400 + "d", "a duration from 0ms to 3650d"),
        ("default_policies.operator.a.message_ttl", "9" * 5000, "to 3650d"),
        ("default_policies.operator.a.classic_queues.queue_version", "3", "a whole number from 1 to 2"),
        ("listeners.tcp", "all", "none"),
        ("management.tcp.port", "off", "65535, or none"),
        ("management.path_prefix", "rabbit", "a path that begins with /"),
        ("ssl_options.versions.1", "tlsv1.4", "tlsv1.3 or tlsv1.2"),
        ("ssl_options.ciphers.1", "HIGH:!aNULL", "the name of a cipher suite"),
        ("ssl_options.verify", "true", "verify_none or verify_peer"),
        ("ssl_options.certfile", "", "the name of a file"),
        ("default_permissions.read", "(", "a regular expression"),
        ("vm_memory_high_watermark.relative", "1.5", "a number from 0 to 1"),
        ("vm_memory_high_watermark.relative", "0,5", "a number from 0 to 1"),
        ("vm_memory_high_watermark.absolute", "much", "a number of bytes up to 9007199254740992, which may end in kB"),
        ("vm_memory_high_watermark.absolute", "1.5GB", "a number of bytes"),
        ("vm_memory_high_watermark.absolute", "10PB", "up to 9007199254740992"),
        ("disk_free_limit.absolute", "-1", "a number of bytes"),
        ("disk_free_limit.absolute", "5XB", "a number of bytes"),
        ("default_vhost", "", "a name of 1 to 255 bytes"),
        ("listeners.tcp.default", "host:99999", "PORT, HOST or HOST:PORT"),
        ("listeners.tcp.default", "-1", "PORT, HOST or HOST:PORT"),
        ("listeners.tcp.other", "a:b:5672", "PORT, HOST or HOST:PORT"),
    ],
)
def test_error_of_an_invalid_value_names_the_accepted_values(key, text, accepted):
    with pytest.raises(ConfigError) as refused:
        load([(key, text)], {})
    assert str(refused.value).startswith(f"{key} = {text}: this must be ")
    assert accepted in str(refused.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("hearbeat", "heartbeat"),
        ("listener.tcp.default", "listeners.tcp.default"),
        ("default_users.bob", "default_user"),
        ("loopback_users.", "loopback_users"),
    ],
)
def test_error_of_an_unknown_key_suggests_the_nearest_one(key, nearest):
    with pytest.raises(ConfigError, match=rf"^there is no setting {key}; did you mean {nearest}"):
        load([(key, "1")], {})


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("5673", "127.0.0.1", 5673),
        ("0", "127.0.0.1", 0),
        ("broker.example", "broker.example", 5672),
        ("0.0.0.0:5673", "0.0.0.0", 5673),
        (":::5673", "::", 5673),
        ("::1:5673", "::1", 5673),
        ("::1", "::1", 5672),
        ("[::1]", "::1", 5672),
        ("[fe80::1%lo]:5673", "fe80::1%lo", 5673),
    ],
)
def test_listener_address_is_parsed(text, host, port):
    config = load([("listeners.tcp.default", text)], {})
    assert config.listeners == (Listener(host, port),)


def test_compat_sets_the_default_version_and_initial_frame_max():
    config = load([("compat", "4.1")], {})
    assert (config.product_version, config.initial_frame_max) == ("4.1.8", 8192)
    config = load([("product.identity", "amqpbroker"), ("compat", "4.1")], {})
    assert (config.product_name, config.product_version) == ("amqpbroker", __version__)
    config = load([("product.version", "1"), ("initial_frame_max", "9000"), ("compat", "4.1")], {})
    assert (config.product_version, config.initial_frame_max) == ("1", 9000)


@pytest.mark.parametrize("key", ["frame_max", "initial_frame_max"])
def test_a_frame_size_that_no_client_could_agree_on_is_refused(key):
    assert load([(key, "4096")], {}) == Config(**{key: 4096})
    with pytest.raises(ConfigError, match=f"^{key} = 4096: with this compat it must be at least 8192$"):
        load([(key, "4096"), ("compat", "4.2")], {})


def test_deprecated_features_are_permitted_and_denied():
    config = load([("compat", "4.3"), ("deprecated_features.permit.global_qos", "true")], {})
    assert config == Config(compat=COMPATS["4.3"].configured({"global_qos": True}))
    with pytest.raises(
        ConfigError, match=r"^deprecated_features\.permit\.qos: unknown feature; choose from .*global_qos"
    ):
        load([("deprecated_features.permit.qos", "true")], {})


def test_host_of_a_listener_is_retained_when_only_the_port_is_set_later():
    assignments = [("listeners.tcp.default", "0.0.0.0:5673"), ("listeners.tcp.default", "5674")]
    assert load(assignments, {}).listeners == (Listener("0.0.0.0", 5674),)
    assert load([*assignments, ("listeners.tcp.default", "::1")], {}).listeners == (Listener("::1", 5674),)


def test_further_listeners_have_the_host_of_the_default_one():
    config = load([("listeners.tcp.default", "::1"), ("listeners.tcp.a", "1"), ("listeners.tcp.b", "127.0.0.1:2")], {})
    assert config.listeners == (Listener("::1", 5672), Listener("::1", 1), Listener("127.0.0.1", 2))


def test_a_named_listener_alone_replaces_the_default_one():
    assert load([("listeners.tcp.local", "5673")], {}).listeners == (Listener("127.0.0.1", 5673),)


def test_assignments_override_the_environment():
    environ = {
        "RABBITMQ_NODE_PORT": "5673",
        "RABBITMQ_NODE_IP_ADDRESS": "0.0.0.0",
        "RABBITMQ_DEFAULT_USER": "admin",
        "RABBITMQ_DEFAULT_PASS": "secret",
        "RABBITMQ_DEFAULT_VHOST": "",
        "HOME": "/root",
    }
    config = load([("default_pass", "other")], environ)
    assert config.listeners == (Listener("0.0.0.0", 5673),)
    assert config.default_users == (DefaultUser("admin", "other", ("administrator",), "^/$"),)
    assert load([("listeners.tcp.default", "5674")], environ).listeners == (Listener("0.0.0.0", 5674),)


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "it configures the Erlang runtime, which is not used"),
        ("RABBITMQ_ERLANG_COOKIE", "there is only one node"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "all supported plugins are enabled"),
        ("RABBITMQ_MNESIA_BASE", "all files are in the data directory"),
    ],
)
def test_variables_without_effect_cause_a_warning(variable, reason):
    assert load_all([], {variable: "x"}, []).warnings == (f"{variable} has no effect: {reason}",)
    assert load_all([], {variable: ""}, []).warnings == ()


@pytest.mark.parametrize(
    ("variable", "instead"),
    [
        ("RABBITMQ_DEFAULT_PASS_FILE", "set RABBITMQ_DEFAULT_PASS, or default_pass in rabbitmq.conf"),
        ("RABBITMQ_SSL_CERTFILE", "set this key in rabbitmq.conf: ssl_options.certfile"),
        ("RABBITMQ_MANAGEMENT_SSL_VERIFY", "set this key in rabbitmq.conf: management.ssl.verify"),
        ("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "set this key in rabbitmq.conf: vm_memory_high_watermark.relative"),
    ],
)
def test_variables_that_rabbitmqs_image_refuses_are_refused(variable, instead):
    with pytest.raises(ConfigError) as refused:
        load_all([], {variable: "x"}, [])
    assert str(refused.value) == f"{variable}: this variable is not supported; {instead}"


def test_product_is_read_from_the_environment():
    config = load([], {"RABBITMQ_PRODUCT_NAME": "Acme", "RABBITMQ_PRODUCT_VERSION": "7.1"})
    assert (config.product_name, config.product_version) == ("Acme", "7.1")


def test_the_last_assignment_wins():
    assert load([("heartbeat", "5"), ("heartbeat", "7")], {}).heartbeat_s == 7


def test_mechanisms_are_ordered_by_number():
    assert load([("auth_mechanisms.10", "PLAIN"), ("auth_mechanisms.9", "AMQPLAIN")], {}).auth_mechanisms == (
        "AMQPLAIN",
        "PLAIN",
    )


def test_default_users_are_configured_with_tags_and_permissions():
    config = load(
        [
            ("default_vhost", "a.b"),
            ("default_user_tags.monitoring", "true"),
            ("default_permissions.write", "^$"),
            ("default_users.bob.password", "secret"),
            ("default_users.bob.tags", "management, policymaker"),
            ("default_users.bob.read", "^b"),
            ("default_users.eve.vhost_pattern", "^x"),
        ],
        {},
    )
    assert config.default_users == (
        DefaultUser("guest", "guest", ("monitoring",), r"^a\.b$", write="^$"),
        DefaultUser("bob", "secret", ("management", "policymaker"), read="^b"),
        DefaultUser("eve", None, (), "^x"),
    )


def test_passwords_are_not_shown():
    config = load([("default_pass", "hidden1"), ("default_users.bob.password", "hidden2")], {})
    assert "hidden" not in repr(config)


@pytest.mark.parametrize("key", ["vm_memory_high_watermark", "disk_free_limit"])
@pytest.mark.parametrize("order", [1, -1])
def test_absolute_limit_overrides_the_relative_one(key, order):
    assignments = [(f"{key}.relative", "0.1"), (f"{key}.absolute", "7")][::order]
    assert getattr(load(assignments, {}), key) == Limit(7)


def test_documented_defaults_of_limits_are_the_default():
    keys = ("vm_memory_high_watermark.relative", "disk_free_limit.absolute")
    assert load([(key, find(key)[0].default) for key in keys], {}) == Config()


def test_relative_limit_is_a_fraction_of_the_memory():
    assert Limit(relative=0.5).of(1001) == 500
    assert Limit(7, 0.5).of(1000) == 7


def test_management_and_metrics_use_a_free_port_if_amqp_does():
    config = load([("listeners.tcp.default", "0")], {})
    assert (config.management.port, config.prometheus.port) == (0, 0)
    config = load([("listeners.tcp.default", "0"), ("management.tcp.port", "1"), ("prometheus.tcp.port", "none")], {})
    assert (config.management.port, config.prometheus.port) == (1, None)
    config = load([("listeners.tcp", "none"), ("listeners.ssl.default", "0")], {})
    assert (config.management.port, config.prometheus.port) == (0, 0)


@pytest.mark.parametrize(("prefix", "tls_port"), [("management", 15671), ("prometheus", 15691)])
def test_tls_options_alone_disable_the_tcp_listener(prefix, tls_port):
    certificate = (f"{prefix}.ssl.certfile", "c.pem")
    only = getattr(load([certificate], {}), prefix)
    assert (only.port, only.tls_port, only.tls) == (None, tls_port, Tls(certfile="c.pem"))
    both = getattr(load([certificate, (f"{prefix}.tcp.port", "5"), (f"{prefix}.ssl.port", "6")], {}), prefix)
    assert (both.port, both.tls_port) == (5, 6)
    neither = getattr(load([certificate, (f"{prefix}.ssl.port", "none")], {}), prefix)
    assert (neither.port, neither.tls_port) == (None, None)


def test_tls_listeners_have_the_host_of_the_default_one_for_tcp():
    config = load([("listeners.tcp.default", "::1"), ("listeners.ssl.a", "1"), ("listeners.ssl.b", "127.0.0.1")], {})
    assert config.tls_listeners == (Listener("::1", 1), Listener("127.0.0.1", 5671))
    assert load([("listeners.ssl.a", "1"), ("listeners.ssl", "none")], {}).tls_listeners == ()


def test_definitions_are_imported_in_order():
    assignments = [("management.load_definitions", "c"), ("definitions.local.path", "b"), ("load_definitions", "a")]
    assert load(assignments, {}).definitions.paths == ("a", "b", "c")


def test_cors_origins_are_ordered_by_number_and_removed_by_none():
    origins = [("management.cors.allow_origins.2", "https://b"), ("management.cors.allow_origins.1", "https://a")]
    assert load(origins, {}).management.cors_allow_origins == ("https://a", "https://b")
    assert load([*origins, ("management.cors.allow_origins", "none")], {}).management.cors_allow_origins == ()


def test_proxies_are_addresses_and_networks():
    proxies = [("management.trusted_proxies.1", "10.0.0.0/8"), ("management.trusted_proxies.2", "::1")]
    assert load(proxies, {}).management.trusted_proxies == ("10.0.0.0/8", "::1/128")


def test_default_limits_and_operator_policies_are_configured():
    config = load(
        [
            ("default_limits.vhosts.1.pattern", "^test"),
            ("default_limits.vhosts.1.max_queues", "100"),
            ("default_limits.vhosts.2.max_connections", "7"),
            ("default_policies.operator.all.queue_pattern", "^q"),
            ("default_policies.operator.all.expires", "1h30m"),
            ("default_policies.operator.all.max_length_bytes", "1kb"),
            ("default_policies.operator.all.classic_queues.queue_version", "2"),
        ],
        {},
    )
    assert config.default_limits == (DefaultLimits("^test", max_queues=100), DefaultLimits(max_connections=7))
    assert config.default_operator_policies == (
        DefaultOperatorPolicy(
            "all",
            queue_pattern="^q",
            definition=(("expires", 5_400_000), ("max-length-bytes", 1024), ("queue-version", 2)),
        ),
    )


@pytest.mark.parametrize(
    ("text", "expires_ms"),
    [("5000", 5000), ("250ms", 250), ("2s", 2000), ("1.5m", 90_000), ("1d2h", 93_600_000), ("1w", 604_800_000)],
)
def test_duration_with_units_is_parsed(text, expires_ms):
    config = load([("default_policies.operator.a.expires", text)], {})
    assert config.default_operator_policies[0].definition == (("expires", expires_ms),)


@pytest.mark.parametrize(
    ("key", "value", "ordinary"), [("queue.redeclare", "warn", "strict"), ("consumer.qos_applies_to", "running", "new")]
)
def test_setting_that_is_an_extension_needs_extensions(key, value, ordinary):
    assert load([("extensions", "off"), (key, ordinary)], {}) == load([("extensions", "off")], {})
    with pytest.raises(ConfigError) as refused:
        load([("extensions", "off"), (key, value)], {})
    assert str(refused.value) == f"{key} = {value}: with extensions = off it must be {ordinary}"

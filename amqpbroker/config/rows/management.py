"""The management API and page, and the metrics."""

from amqpbroker.config.accepted import ANY, BOOLEAN, HOST, MAX_INT, NETWORK, PATH, PORT, integer, one_of, or_none
from amqpbroker.config.rows.tls import tls_rows
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("management.tcp.port", or_none(PORT), "15672",
            "The port of the management API and page; `none` has neither. Unless it is set, it is a free one where AMQP"
            " takes a free one, and there is none where management.ssl is set.",
            "management.port", aliases=("management.listener.port",)),
    Setting("management.tcp.ip", HOST, "127.0.0.1",
            "Where they listen; `0.0.0.0` is every IPv4 address, `::` every address.",
            "management.host", aliases=("management.listener.ip",)),
    Setting("management.ssl.port", or_none(PORT), "none",
            "Their port by TLS. Where anything else of management.ssl is set, the default is 15671.",
            "management.tls_port"),
    Setting("management.ssl.ip", HOST, "127.0.0.1",
            "Where they listen by TLS.", "management.tls_host"),
    Setting("management.listener.ssl", BOOLEAN, "",
            "Whether management.listener.port is a port by TLS, which is the only one then."),
    *tls_rows("management.ssl", "management.tls", "management.listener.ssl_opts"),
    Setting("management.path_prefix", PATH, "",
            "What the paths of API and page begin with.", "management.path_prefix"),
    Setting("management.load_definitions", ANY, "",
            "Like load_definitions, after it."),
    Setting("management.rates_mode", one_of("basic", "detailed", "none"), "basic",
            "What rates are kept: none, those of each thing, or also those between channels, exchanges and queues.",
            "management.rates_mode"),
    Setting("management.disable_stats", BOOLEAN, "false",
            "Whether the API tells of no counts and rates.", "management.disable_stats"),
    Setting("management.enable_queue_totals", BOOLEAN, "false",
            "Whether it tells of queues' messages all the same.", "management.enable_queue_totals"),
    Setting("management.restrictions.operator_policy_changes.disabled", BOOLEAN, "false",
            "Whether operator policies can not be changed by the API.", "management.operator_policy_changes_disabled"),
    Setting("management.login_session_timeout", integer(1, MAX_INT, "minutes"), "480",
            "How long one who logged in to the page stays so.", "management.login_session_timeout_min"),
    Setting("management.cors.allow_origins", one_of("none"), "",
            "`none` allows no other origins."),
    Setting("management.cors.allow_origins.$n", ANY, "",
            "An origin whose pages may use the API, such as https://example.com; `*` is every one."),
    Setting("management.cors.max_age", integer(0, MAX_INT, "s"), "1800",
            "How long a browser may remember that.", "management.cors_max_age_s"),
    Setting("management.trusted_proxies.$n", NETWORK, "",
            "A proxy in front of the API, as an address or a network. Its X-Forwarded-For, X-Forwarded-Proto and"
            " X-Forwarded-Host are believed; those of all others are ignored."),
    Setting("prometheus.tcp.port", or_none(PORT), "15692",
            "The port of the metrics; `none` has none. Unless it is set, it is a free one where AMQP takes a free one,"
            " and there is none where prometheus.ssl is set.",
            "prometheus.port"),
    Setting("prometheus.tcp.ip", HOST, "127.0.0.1",
            "Where they listen.", "prometheus.host"),
    Setting("prometheus.ssl.port", or_none(PORT), "none",
            "Their port by TLS. Where anything else of prometheus.ssl is set, the default is 15691.",
            "prometheus.tls_port"),
    Setting("prometheus.ssl.ip", HOST, "127.0.0.1",
            "Where they listen by TLS.", "prometheus.tls_host"),
    *tls_rows("prometheus.ssl", "prometheus.tls"),
    Setting("prometheus.path", PATH, "/metrics",
            "The path of the metrics.", "prometheus.path"),
    Setting("prometheus.return_per_object_metrics", BOOLEAN, "false",
            "Whether /metrics has what /metrics/per-object has.", "prometheus.return_per_object_metrics"),
    Setting("collect_statistics_interval", integer(1, MAX_INT, "ms"), "5000",
            "How often rates are sampled.", "collect_statistics_interval_ms"),
)
# fmt: on

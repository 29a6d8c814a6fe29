"""The management API and page, and the metrics."""

from amqpbroker.config.accepted import ANY, BOOLEAN, HOST, MAX_INT, NETWORK, PATH, PORT, integer, one_of, or_none
from amqpbroker.config.rows.tls import tls_rows
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("management.tcp.port", or_none(PORT), "15672",
            "Port of the management API and UI; `none` disables both. If it is not set, a free port is chosen if AMQP"
            " uses a free port, and none is opened if management.ssl is set.",
            "management.port", aliases=("management.listener.port",)),
    Setting("management.tcp.ip", HOST, "127.0.0.1",
            "Address of the management listener; `0.0.0.0` is every IPv4 address, `::` every address.",
            "management.host", aliases=("management.listener.ip",)),
    Setting("management.ssl.port", or_none(PORT), "none",
            "TLS port of the management API and UI. If any other key of management.ssl is set, the default is 15671.",
            "management.tls_port"),
    Setting("management.ssl.ip", HOST, "127.0.0.1",
            "Address of the management TLS listener.", "management.tls_host"),
    Setting("management.listener.ssl", BOOLEAN, "",
            "Make management.listener.port a TLS port, which is then the only one."),
    *tls_rows("management.ssl", "management.tls", "management.listener.ssl_opts"),
    Setting("management.path_prefix", PATH, "",
            "Prefix of the paths of API and UI.", "management.path_prefix"),
    Setting("management.load_definitions", ANY, "",
            "File or directory of definitions, which is imported after load_definitions."),
    Setting("management.rates_mode", one_of("basic", "detailed", "none"), "basic",
            "Available rates: `none`, those of each object, or also those between channels, exchanges and queues.",
            "management.rates_mode"),
    Setting("management.disable_stats", BOOLEAN, "false",
            "Omit counts and rates from the API.", "management.disable_stats"),
    Setting("management.enable_queue_totals", BOOLEAN, "false",
            "Include the message counts of queues although statistics are disabled.", "management.enable_queue_totals"),
    Setting("management.restrictions.operator_policy_changes.disabled", BOOLEAN, "false",
            "Refuse changes of operator policies by the API.", "management.operator_policy_changes_disabled"),
    Setting("management.login_session_timeout", integer(1, MAX_INT, "minutes"), "480",
            "Time after which a login to the management UI expires.", "management.login_session_timeout_min"),
    Setting("management.cors.allow_origins", one_of("none"), "",
            "`none` allows no other origins."),
    Setting("management.cors.allow_origins.$n", ANY, "",
            "An origin whose pages may use the API, such as https://example.com; `*` allows every origin."),
    Setting("management.cors.max_age", integer(0, MAX_INT, "s"), "1800",
            "Time for which a browser may cache the allowed origins.", "management.cors_max_age_s"),
    Setting("management.trusted_proxies.$n", NETWORK, "",
            "A proxy in front of the API, as an address or a network. Its headers X-Forwarded-For, X-Forwarded-Proto"
            " and X-Forwarded-Host are used; those of all other clients are ignored."),
    Setting("prometheus.tcp.port", or_none(PORT), "15692",
            "Port of the metrics; `none` disables them. If it is not set, a free port is chosen if AMQP uses a free"
            " port, and none is opened if prometheus.ssl is set.",
            "prometheus.port"),
    Setting("prometheus.tcp.ip", HOST, "127.0.0.1",
            "Address of the metrics listener.", "prometheus.host"),
    Setting("prometheus.ssl.port", or_none(PORT), "none",
            "TLS port of the metrics. If any other key of prometheus.ssl is set, the default is 15691.",
            "prometheus.tls_port"),
    Setting("prometheus.ssl.ip", HOST, "127.0.0.1",
            "Address of the metrics TLS listener.", "prometheus.tls_host"),
    *tls_rows("prometheus.ssl", "prometheus.tls"),
    Setting("prometheus.path", PATH, "/metrics",
            "Path of the metrics.", "prometheus.path"),
    Setting("prometheus.return_per_object_metrics", BOOLEAN, "false",
            "Return the metrics of /metrics/per-object at /metrics.", "prometheus.return_per_object_metrics"),
    Setting("collect_statistics_interval", integer(1, MAX_INT, "ms"), "5000",
            "Interval at which rates are sampled.", "collect_statistics_interval_ms"),
)
# fmt: on

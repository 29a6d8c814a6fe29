"""Settings of the listeners for AMQP, plain and TLS."""

from amqpbroker.config.accepted import BOOLEAN, LISTENER, MAX_INT, integer, one_of
from amqpbroker.config.rows.tls import tls_rows
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("listeners.tcp", one_of("none"), "",
            "`none` disables AMQP without TLS."),
    Setting("listeners.tcp.default", LISTENER, "127.0.0.1:5672",
            "Address of the AMQP listener. A missing host or port keeps its value. Port 0 chooses a free port.",
            environment=("RABBITMQ_NODE_IP_ADDRESS", "RABBITMQ_NODE_PORT"), over_files=False),
    Setting("listeners.tcp.$name", LISTENER, "",
            "Address of a further listener. The default host is that of listeners.tcp.default."),
    Setting("listeners.ssl", one_of("none"), "",
            "`none` disables AMQP over TLS, regardless of other settings."),
    Setting("listeners.ssl.default", LISTENER, "",
            "Address of the TLS listener, usually port 5671. The default host is that of listeners.tcp.default."),
    Setting("listeners.ssl.$name", LISTENER, "",
            "Address of a further TLS listener."),
    Setting("proxy_protocol", BOOLEAN, "false",
            "Clients of all AMQP listeners connect through a proxy that sends a PROXY header, version 1 or 2, before"
            " anything else. Others are refused.", "proxy_protocol"),
    *tls_rows("ssl_options", "tls"),
    Setting("ssl_handshake_timeout", integer(1, MAX_INT, "ms"), "5000",
            "Maximum time of a TLS handshake.", "ssl_handshake_timeout_ms"),
    Setting("ssl_cert_login_from",
            one_of("distinguished_name", "common_name", "subject_alternative_name", "subject_alt_name"),
            "distinguished_name", "The part of a client's certificate that is the user name for EXTERNAL.",
            "ssl_cert_login_from"),
    Setting("ssl_cert_login_san_type", one_of("dns", "ip", "email", "uri", "other_name"), "dns",
            "Type of alternative name that is used as user name.", "ssl_cert_login_san_type"),
    Setting("ssl_cert_login_san_index", integer(0, MAX_INT), "0",
            "Index of the alternative name among those of the type; the first is 0.", "ssl_cert_login_san_index"),
)
# fmt: on

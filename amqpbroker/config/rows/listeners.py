"""Settings of the listeners for AMQP, plain and TLS."""

from amqpbroker.config.accepted import LISTENER, MAX_INT, integer, one_of
from amqpbroker.config.rows.tls import tls_rows
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("listeners.tcp", one_of("none"), "",
            "`none` listens for AMQP by TLS only."),
    Setting("listeners.tcp.default", LISTENER, "127.0.0.1:5672",
            "Where to listen for AMQP. A half that is left out keeps its value; port 0 takes a free one.",
            environment=("RABBITMQ_NODE_IP_ADDRESS", "RABBITMQ_NODE_PORT"), over_files=False),
    Setting("listeners.tcp.$name", LISTENER, "",
            "A further listener; without a host it has that of the default one."),
    Setting("listeners.ssl", one_of("none"), "",
            "`none` does not listen by TLS, whatever else is set."),
    Setting("listeners.ssl.default", LISTENER, "",
            "Where to listen for AMQP by TLS, usually 5671. Without a host it has that of listeners.tcp.default."),
    Setting("listeners.ssl.$name", LISTENER, "",
            "A further listener by TLS."),
    *tls_rows("ssl_options", "tls"),
    Setting("ssl_handshake_timeout", integer(1, MAX_INT, "ms"), "5000",
            "How long a TLS handshake may take.", "ssl_handshake_timeout_ms"),
    Setting("ssl_cert_login_from",
            one_of("distinguished_name", "common_name", "subject_alternative_name", "subject_alt_name"),
            "distinguished_name", "What of a client's certificate is its user's name, with EXTERNAL.",
            "ssl_cert_login_from"),
    Setting("ssl_cert_login_san_type", one_of("dns", "ip", "email", "uri", "other_name"), "dns",
            "Which alternative names count for that.", "ssl_cert_login_san_type"),
    Setting("ssl_cert_login_san_index", integer(0, MAX_INT), "0",
            "Which of them it is; the first is 0.", "ssl_cert_login_san_index"),
)
# fmt: on

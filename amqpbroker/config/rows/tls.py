"""The options of a kind of TLS listener: AMQP's, the management's, the metrics'."""

from amqpbroker.config.accepted import ANY, BOOLEAN, FILE, Accepted, choice, integer, some_of
from amqpbroker.config.ciphers import CIPHER
from amqpbroker.config.setting import Setting

_VERSION = some_of(
    "tlsv1.3",
    "tlsv1.2",
    left_out=dict.fromkeys(("tlsv1.1", "tlsv1", "sslv3"), "it is not secure; use tlsv1.2 or tlsv1.3"),
)


def tls_rows(prefix: str, attribute: str, alias: str = "") -> tuple[Setting, ...]:
    """Return the rows of the keys that begin with `prefix`, or `alias`; their values make the Tls at `attribute`."""

    def row(
        option: str, accepted: Accepted, default: str, doc: str, attribute: str = "", secret: bool = False
    ) -> Setting:
        aliases = (f"{alias}.{option}",) if alias else ()
        return Setting(f"{prefix}.{option}", accepted, default, doc, attribute, aliases=aliases, secret=secret)

    # fmt: off
    return (
        row("certfile", FILE, "",
            "Certificate, followed by the intermediate certificates up to the authority's; PEM.",
            attribute=f"{attribute}.certfile"),
        row("keyfile", FILE, "",
            "Private key of the certificate; PEM.", attribute=f"{attribute}.keyfile"),
        row("password", ANY, "",
            "Password of an encrypted private key.", attribute=f"{attribute}.password", secret=True),
        row("cacertfile", FILE, "",
            "Certificates of the authorities that sign client certificates; PEM.",
            attribute=f"{attribute}.cacertfile"),
        row("verify", choice({"verify_none": False, "verify_peer": True}), "verify_none",
            "`verify_peer` requests a certificate from clients, and refuses one that is not signed by an authority.",
            attribute=f"{attribute}.verify_peer"),
        row("fail_if_no_peer_cert", BOOLEAN, "false",
            "With verify_peer, refuse clients without a certificate.",
            attribute=f"{attribute}.fail_if_no_peer_cert"),
        row("depth", integer(0, 255), "10",
            "Maximum number of intermediate certificates between a client's and the authority's.",
            attribute=f"{attribute}.depth"),
        row("versions.$n", _VERSION, "1 = tlsv1.3, 2 = tlsv1.2",
            "Supported versions of TLS. Any such line replaces the default. Older versions are ignored."),
        row("ciphers.$n", CIPHER, "",
            "An allowed cipher suite, by OpenSSL's name or the RFCs'. Any such line disables all other suites, and"
            " versions of TLS without a suite in the list. Suites that OpenSSL does not have are ignored, with a"
            " warning. Before Python 3.15 the suites of TLS 1.3 cannot be chosen individually."),
        row("honor_cipher_order", BOOLEAN, "false",
            "Choose the cipher suite by the order of this list, not the client's.",
            attribute=f"{attribute}.honor_cipher_order"),
        row("sni.$host.certfile", FILE, "",
            "Certificate for clients that request this host name, in which dots are written `\\.`."),
        row("sni.$host.keyfile", FILE, "",
            "Private key of this certificate."),
    )
    # fmt: on

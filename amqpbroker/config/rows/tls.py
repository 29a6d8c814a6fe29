"""The options of a kind of TLS listener: AMQP's, the management's, the metrics'."""

from amqpbroker.config.accepted import ANY, BOOLEAN, FILE, Accepted, choice, integer, some_of
from amqpbroker.config.ciphers import CIPHER
from amqpbroker.config.setting import Setting

_VERSION = some_of(
    "tlsv1.3",
    "tlsv1.2",
    left_out=dict.fromkeys(("tlsv1.1", "tlsv1", "sslv3"), "it is not safe any more; write tlsv1.2 or tlsv1.3"),
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
            "The certificate, with those between it and the authority's behind it; PEM.",
            attribute=f"{attribute}.certfile"),
        row("keyfile", FILE, "",
            "The certificate's private key; PEM.", attribute=f"{attribute}.keyfile"),
        row("password", ANY, "",
            "The password of an encrypted key.", attribute=f"{attribute}.password", secret=True),
        row("cacertfile", FILE, "",
            "The certificates of the authorities that clients' certificates are checked by; PEM.",
            attribute=f"{attribute}.cacertfile"),
        row("verify", choice({"verify_none": False, "verify_peer": True}), "verify_none",
            "`verify_peer` asks clients for a certificate, and refuses one that no authority vouches for.",
            attribute=f"{attribute}.verify_peer"),
        row("fail_if_no_peer_cert", BOOLEAN, "false",
            "Whether verify_peer refuses clients without a certificate.",
            attribute=f"{attribute}.fail_if_no_peer_cert"),
        row("depth", integer(0, 255), "10",
            "How many certificates may stand between a client's and the authority's.",
            attribute=f"{attribute}.depth"),
        row("versions.$n", _VERSION, "1 = tlsv1.3, 2 = tlsv1.2",
            "The versions of TLS that are spoken. Any such line replaces the default. Older versions are left out, with"
            " a warning."),
        row("ciphers.$n", CIPHER, "",
            "A cipher suite that is used, by OpenSSL's name or the RFCs'. With any such line no others are used, and"
            " a version of TLS without a suite in the list is not spoken. Suites that OpenSSL does not have are left"
            " out, with a warning. Before Python 3.15 the suites of TLS 1.3 cannot be chosen one by one."),
        row("honor_cipher_order", BOOLEAN, "false",
            "Whether the order of this list, not the client's, decides which suite is used.",
            attribute=f"{attribute}.honor_cipher_order"),
        row("sni.$host.certfile", FILE, "",
            "The certificate for clients that ask for this host, whose dots are written `\\.`."),
        row("sni.$host.keyfile", FILE, "",
            "Its private key."),
    )
    # fmt: on

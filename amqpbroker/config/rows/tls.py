"""The options of a kind of TLS listener: AMQP's, the management's, the metrics'."""

from amqpbroker.config.accepted import ANY, BOOLEAN, FILE, choice, integer, one_of
from amqpbroker.config.setting import Setting


def tls_rows(prefix: str, attribute: str) -> tuple[Setting, ...]:
    """The rows whose keys begin with `prefix` and whose values make the Tls at `attribute`."""
    # fmt: off
    return (
        Setting(f"{prefix}.certfile", FILE, "",
                "The certificate, with those between it and the authority's behind it; PEM.", f"{attribute}.certfile"),
        Setting(f"{prefix}.keyfile", FILE, "",
                "The certificate's private key; PEM.", f"{attribute}.keyfile"),
        Setting(f"{prefix}.password", ANY, "",
                "The password of an encrypted key.", f"{attribute}.password", secret=True),
        Setting(f"{prefix}.cacertfile", FILE, "",
                "The certificates of the authorities that clients' certificates are checked by; PEM.",
                f"{attribute}.cacertfile"),
        Setting(f"{prefix}.verify", choice({"verify_none": False, "verify_peer": True}), "verify_none",
                "`verify_peer` asks clients for a certificate, and refuses one that no authority vouches for.",
                f"{attribute}.verify_peer"),
        Setting(f"{prefix}.fail_if_no_peer_cert", BOOLEAN, "false",
                "Whether verify_peer refuses clients without a certificate.", f"{attribute}.fail_if_no_peer_cert"),
        Setting(f"{prefix}.depth", integer(0, 255), "10",
                "How many certificates may stand between a client's and the authority's.", f"{attribute}.depth"),
        Setting(f"{prefix}.versions.$n", one_of("tlsv1.3", "tlsv1.2"), "1 = tlsv1.3, 2 = tlsv1.2",
                "The versions of TLS that are spoken. Any such line replaces the default."),
        Setting(f"{prefix}.sni.$host.certfile", FILE, "",
                "The certificate for clients that ask for this host, whose dots are written `\\.`."),
        Setting(f"{prefix}.sni.$host.keyfile", FILE, "",
                "Its private key."),
    )
    # fmt: on

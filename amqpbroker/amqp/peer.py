"""The two ends of a connection's socket, and their TLS parameters.

TLS is described with the names that RabbitMQ uses, which are those of Erlang's ssl application.
"""

from typing import Any, NamedTuple, final

from amqpbroker.broker.users.users import User, is_loopback
from amqpbroker.wire.certificate import Certificate

#: OpenSSL's name of a cipher within a suite -> Erlang's name.
_CIPHERS = {
    "AES128-GCM": "aes_128_gcm",
    "AES256-GCM": "aes_256_gcm",
    "AES128-CCM": "aes_128_ccm",
    "AES256-CCM": "aes_256_ccm",
    "AES128": "aes_128_cbc",
    "AES256": "aes_256_cbc",
    "CHACHA20-POLY1305": "chacha20_poly1305",
}


@final
class Encryption(NamedTuple):
    """TLS parameters, as shown in the connection's ssl_protocol, ssl_key_exchange, ssl_cipher and ssl_hash.

    Examples are tlsv1.2, ecdhe_ecdsa, aes_256_gcm and aead. certificate: the client's, verified; None if it sent none.
    """

    protocol: str
    key_exchange: str
    cipher: str
    hash: str
    certificate: Certificate | None = None

    def info(self) -> dict[str, Any]:
        """Return the TLS fields of ConnectionInfo, except for ssl."""
        certificate = self.certificate
        return {
            "ssl_protocol": self.protocol,
            "ssl_key_exchange": self.key_exchange,
            "ssl_cipher": self.cipher,
            "ssl_hash": self.hash,
            "peer_cert_subject": certificate.subject if certificate is not None else None,
            "peer_cert_issuer": certificate.issuer if certificate is not None else None,
            "peer_cert_validity": certificate.validity if certificate is not None else None,
        }

    def facts(self) -> list[Any]:
        """Return all fields as JSON."""
        return [self.protocol, self.key_exchange, self.cipher, self.hash, _certificate_facts(self.certificate)]


def encryption_from(facts: Any) -> Encryption:
    """Return what `Encryption.facts` described. Raises ValueError, TypeError."""
    match facts:
        case [str(protocol), str(key_exchange), str(cipher), str(hash_), certificate]:
            return Encryption(protocol, key_exchange, cipher, hash_, _certificate_from(certificate))
    raise ValueError("not the facts of an encryption")


def _certificate_facts(certificate: Certificate | None) -> list[Any] | None:
    if certificate is None:
        return None
    names = [list(name) for name in certificate.alternative_names]
    return [certificate.subject, certificate.issuer, certificate.validity, list(certificate.common_names), names]


def _certificate_from(facts: Any) -> Certificate | None:
    """Return what `_certificate_facts` described. Raises ValueError, TypeError."""
    match facts:
        case None:
            return None
        case [str(subject), str(issuer), str(validity), [*common], [*alternative]]:
            pairs = [(kind, name) for kind, name in alternative]
            if all(isinstance(text, str) for text in (*common, *[text for pair in pairs for text in pair])):
                return Certificate(subject, issuer, validity, tuple(common), tuple(pairs))
    raise ValueError("not the facts of a certificate")


def encryption(suite: str, version: str, certificate: Certificate | None = None) -> Encryption:
    """Convert OpenSSL's names, such as ECDHE-ECDSA-AES256-GCM-SHA384 and TLSv1.2."""
    protocol = version.lower()
    if suite.startswith("TLS_"):  # of TLS 1.3, which negotiates the key exchange separately
        return Encryption(
            protocol, "any", suite.removeprefix("TLS_").lower().rpartition("_sha")[0], "aead", certificate
        )
    for name, cipher in _CIPHERS.items():
        before, found, after = suite.partition(name)
        if found:
            exchange = before.strip("-").replace("-", "_").lower() or "rsa"
            aead = not cipher.endswith("_cbc")
            return Encryption(protocol, exchange, cipher, "aead" if aead else after.strip("-").lower(), certificate)
    return Encryption(protocol, "", suite.lower(), "", certificate)


class Peer(NamedTuple):
    """The two addresses of a connection and its TLS parameters. tls: None for a connection without TLS.

    user: the authenticated user, for connections from within this process; otherwise None. relayed: another broker
    relays the connection, so that it is not handed over again. proxy_host: address of the proxy that has named the two
    addresses by a PROXY header; empty if they are those of the socket. is_nameless: the proxy does not know the
    client's address, so host is its own.
    """

    host: str
    port: int
    local_host: str
    local_port: int
    tls: Encryption | None = None
    user: User | None = None
    relayed: bool = False
    proxy_host: str = ""
    is_nameless: bool = False

    @property
    def name(self) -> str:
        """Return the connection name in RabbitMQ's format: `127.0.0.1:59058 -> 127.0.0.1:5672`."""
        return f"{_bracketed(self.host)}:{self.port} -> {_bracketed(self.local_host)}:{self.local_port}"

    @property
    def login_host(self) -> str:
        """Return the address that counts for a login.

        A proxy on another machine cannot make a client one of this machine, so its own address counts then. A client
        whose address is unknown is not one of this machine either, even if its proxy is.
        """
        if self.is_nameless:
            return "" if is_loopback(self.host) else self.host
        return self.proxy_host if self.proxy_host and is_loopback(self.host) else self.host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

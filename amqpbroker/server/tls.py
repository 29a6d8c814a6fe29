"""TLS for listeners: from options and files to what new connections are offered, and again when the files change."""

import logging
import re
import ssl
from pathlib import Path
from typing import Any, final

from amqpbroker.amqp.peer import Encryption, encryption
from amqpbroker.broker.node import Certificates
from amqpbroker.config import Tls
from amqpbroker.config.ciphers import CAN_CHOOSE_TLS_1_3, is_tls_1_3
from amqpbroker.server.certificate_depth import Depth
from amqpbroker.wire.certificate import decode_certificate
from amqpbroker.wire.values import MalformedError

log = logging.getLogger(__name__)

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


class TlsError(Exception):
    """Error of the TLS configuration; the text names the setting and the file, and gives the reason."""


@final
class TlsContexts:
    """Certificates of one kind of listeners, chosen by the host name that the client requests.

    prefix: of the options' keys, such as `ssl_options`. context: for listeners; each new connection gets by it what was
    read last. certificates: what was read last. Raises TlsError.
    """

    def __init__(self, options: Tls, prefix: str) -> None:
        self._options = options
        self._prefix = prefix
        self._current = self._load()
        self.certificates: Certificates = _certificates(options)
        self.context: ssl.SSLContext = _Latest(ssl.PROTOCOL_TLS_SERVER)
        self.context.wrap_bio = self._wrap  # type: ignore[method-assign]

    def reload(self) -> None:
        """Read the files again; if they are not right that is logged, and what was read before stays.

        Connections that are open stay as they are.
        """
        try:
            self._current = self._load()
            self.certificates = _certificates(self._options)
        except TlsError as error:
            log.error("TLS: the certificates stay as they are: %s", error)  # noqa: TRY400 - no bug, nothing to trace
        else:
            log.info("TLS: %s: read %s again", self._prefix, self._options.certfile)

    def _load(self) -> ssl.SSLContext:
        """Raises TlsError."""
        options = self._options
        depth = Depth(options.depth)
        default = _context(options, options.certfile, options.keyfile, self._prefix, depth)
        hosts: dict[str, ssl.SSLContext] = {}
        for sni in options.sni:
            prefix = f"{self._prefix}.sni.{sni.host}"
            hosts[sni.host.lower()] = _context(options, sni.certfile, sni.keyfile, prefix, depth)

        def choose(connection: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
            connection.context = hosts.get(host.lower(), default) if host else default

        default.sni_callback = choose
        return default

    def _wrap(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        return self._current.wrap_bio(*arguments, **named)


@final
class _Latest(ssl.SSLContext):
    """Stand-in for an SSL context: event loops only use it to make connections, which it takes from elsewhere."""


@final
class _Context(ssl.SSLContext):
    """depth: shared by all that were read together, since they share their sessions as well."""

    depth: Depth


def describe(connection: ssl.SSLObject) -> Encryption:
    """Return the negotiated parameters. Raises TlsError for a client whose certificate is not acceptable."""
    suite, version, _ = connection.cipher() or ("", "", 0)
    der = connection.getpeercert(binary_form=True)
    if der is None:
        return encryption(suite, version)
    context = connection.context
    if isinstance(context, _Context) and not context.depth.passes(connection, der):
        raise TlsError("the client's certificate is too far from its authority")
    try:
        return encryption(suite, version, decode_certificate(der))
    except MalformedError as error:
        raise TlsError(f"the client's certificate cannot be read: {error}") from error


def _context(options: Tls, certfile: str, keyfile: str, prefix: str, depth: Depth) -> _Context:
    """Raises TlsError."""
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    versions = [_VERSIONS[name] for name in options.versions]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    # Sessions are kept here and not by clients, so that with new certificates none is taken up again.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    _choose_ciphers(context, options)
    context.depth = depth
    _load_certificate(context, certfile, keyfile, options.password, prefix)
    if options.cacertfile:
        _load_authorities(context, options.cacertfile)
    elif options.verify_peer:
        raise TlsError("to verify clients, cacertfile must name the file of their authorities' certificates")
    if options.verify_peer:
        context.verify_mode = ssl.CERT_REQUIRED if options.fail_if_no_peer_cert else ssl.CERT_OPTIONAL
        # As in RabbitMQ, whatever is in that file is trusted, though it may have an issuer itself.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _choose_ciphers(context: Any, options: Tls) -> None:
    if not options.honor_cipher_order:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    older = [suite for suite in options.ciphers if not is_tls_1_3(suite)]
    newer = [suite for suite in options.ciphers if is_tls_1_3(suite)]
    if older:
        context.set_ciphers(":".join(older))
    if newer and CAN_CHOOSE_TLS_1_3:
        context.set_ciphersuites(":".join(newer))


def _load_certificate(context: ssl.SSLContext, certfile: str, keyfile: str, password: str, prefix: str) -> None:
    if not certfile:
        raise TlsError(f"{prefix}.certfile is not set: TLS needs a certificate")
    keyfile = keyfile or certfile
    _check_readable(certfile)
    _check_readable(keyfile)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certfile)
    except ssl.SSLError as error:
        raise TlsError(f"{certfile}: there is no certificate in it, as PEM ({_reason(error)})") from error
    asked = False

    def supply_password() -> str:
        nonlocal asked
        asked = True
        return password

    try:
        context.load_cert_chain(certfile, keyfile, supply_password)
    except (ssl.SSLError, ValueError) as error:
        reason = _reason(error)
        if reason == "key values mismatch":
            raise TlsError(f"{keyfile}: this is not the key of the certificate in {certfile}") from error
        if asked and password:
            raise TlsError(f"{keyfile}: {prefix}.password is not the password of this key") from error
        if asked:
            raise TlsError(f"{keyfile}: the key is encrypted: set {prefix}.password") from error
        raise TlsError(f"{keyfile}: there is no private key in it, as PEM ({reason})") from error


def _load_authorities(context: ssl.SSLContext, cacertfile: str) -> None:
    _check_readable(cacertfile)
    try:
        context.load_verify_locations(cacertfile)
    except ssl.SSLError as error:
        raise TlsError(f"{cacertfile}: there is no certificate in it, as PEM ({_reason(error)})") from error


def _certificates(options: Tls) -> Certificates:
    """Raises TlsError."""
    files = options.certfile, options.cacertfile
    return Certificates(*files, *[_expiries_ms(file) if file else () for file in files])


def _expiries_ms(file: str) -> tuple[int, ...]:
    """When each of the certificates in a PEM file ends. Raises TlsError."""
    try:
        found = _PEM.findall(Path(file).read_text("latin-1"))
        return tuple([decode_certificate(ssl.PEM_cert_to_DER_cert(pem)).expires_ms for pem in found])
    except OSError as error:
        raise TlsError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise TlsError(f"{file}: a certificate in it cannot be read") from error


def _check_readable(file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise TlsError(f"{file}: {error.strerror}") from error


def _reason(error: Exception) -> str:
    """OpenSSL's reason, such as `key values mismatch`."""
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)

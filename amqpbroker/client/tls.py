"""TLS contexts of clients."""

import ssl
from collections.abc import Callable

from amqpbroker.client.login import LinkError
from amqpbroker.client.uri import TlsOptions


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """Return a context with the certificate files of a URI. Raises LinkError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.cacertfile:
        _reading(options.cacertfile, lambda: context.load_verify_locations(options.cacertfile))
        # As in RabbitMQ, every certificate in that file is trusted, even if it was issued by another one.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs()
    if options.certfile:
        keyfile = options.keyfile or options.certfile
        _reading(keyfile, lambda: context.load_cert_chain(options.certfile, keyfile, options.password or "?"))
    return context


def _reading(file: str, read: Callable[[], None]) -> None:
    try:
        read()
    except (OSError, ssl.SSLError, ValueError) as error:
        raise LinkError(f"{file}: {getattr(error, 'strerror', None) or error}") from None

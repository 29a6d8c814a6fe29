"""Maximum length of a client's chain of certificates, which `ssl` has no setting for."""

import hashlib
import ssl
from typing import final

#: How many certificates are remembered: as many as OpenSSL keeps sessions for a context, so that these are all known.
REMEMBERED = 20 * 1024


@final
class Depth:
    """Says whether a client's certificate is near enough to its authority's, when a session begins and ever after.

    A session that is taken up again has no chain to look at. OpenSSL may keep one that began with a certificate too far
    away (which it does depends on how the connection ended, and on the version of Python), so that only certificates
    that were near enough before will do then.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._passed: dict[bytes, None] = {}  # hashes, the latest last

    def passes(self, connection: ssl.SSLObject, certificate: bytes) -> bool:
        """connection: whose handshake is done. certificate: the client's, as DER."""
        digest = hashlib.sha256(certificate).digest()
        if connection.session_reused:
            return digest in self._passed
        if _between(connection) > self._depth:
            return False
        self._passed.pop(digest, None)
        self._passed[digest] = None
        if len(self._passed) > REMEMBERED:
            del self._passed[next(iter(self._passed))]
        return True


def _between(connection: ssl.SSLObject) -> int:
    """Return the number of certificates between the peer's and the authority's."""
    chain = getattr(connection, "get_verified_chain", None)  # from Python 3.13 on
    if chain is None:
        chain = connection._sslobj.get_verified_chain  # type: ignore[attr-defined]
    return len(chain()) - 2

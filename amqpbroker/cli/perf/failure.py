"""Errors of a measurement: the text has the reason, in the broker's own words if possible, and says what to do."""

import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class PerfError(Exception):
    """The measurement cannot go on. The text is for the user."""


def refusal(method: str, arguments: dict[str, Any]) -> PerfError:
    """Return the error for a close that the broker sent."""
    what = "channel" if method == "channel.close" else "connection"
    return PerfError(f"the broker closed the {what}: {arguments['reply_code']} {arguments['reply_text']}")


def too_large(size: int) -> PerfError:
    """Return the error for a frame larger than the buffer."""
    return PerfError(f"the broker sent a frame of {size} bytes, which is more than was negotiated")


@contextmanager
def explained(address: str, doing: str, timeout_s: float, hint: Callable[[], str]) -> Iterator[None]:
    """Raise failures of the socket, of TLS and of decoding as a PerfError that names address and step.

    hint: returns what may be wrong if the broker ends the connection before its first method.
    """
    try:
        yield
    except TimeoutError:
        raise PerfError(f"{address}: no answer to {doing} within {timeout_s:g} s") from None
    except ConnectionRefusedError:
        raise PerfError(f"{address}: connection refused; is a broker running there? Name it with --url") from None
    except ssl.SSLError as error:
        text = _tls_remedy(error) or f"TLS failed: {error.reason or error}{hint()}"
        raise PerfError(f"{address}: {text}") from None
    except OSError as error:
        more = "" if doing == "connecting" else hint()
        raise PerfError(f"{address}: {(error.strerror or str(error)).lower()}, {doing}{more}") from None
    except (ValueError, struct.error) as error:
        raise PerfError(f"{address}: the server at this address does not speak AMQP 0-9-1: {error}") from None
    except PerfError as error:
        raise PerfError(f"{address}: {error}") from None


def _tls_remedy(error: ssl.SSLError) -> str:
    """Return advice on an error of TLS, empty if there is none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; name the authority with --cacertfile, or use --insecure"
    return "no TLS there; write amqp:// in place of amqps://" if error.reason == "WRONG_VERSION_NUMBER" else ""

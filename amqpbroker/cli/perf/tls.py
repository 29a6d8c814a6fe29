"""TLS as the options of `amqpbroker perf` want it."""

import ssl
from dataclasses import dataclass

from amqpbroker.cli.perf.failure import PerfError


@dataclass(frozen=True)
class Tls:
    """Files: whom to trust, None is whom the system trusts; and who this is, None is nobody."""

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    #: Do not verify who the broker is.
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Raises PerfError for files with something else in them, and OSError."""
        try:
            context = ssl.create_default_context(cafile=self.cacertfile)
        except ssl.SSLError:
            raise PerfError(f"{self.cacertfile} has no certificates") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certfile is not None:
            try:
                context.load_cert_chain(self.certfile, self.keyfile, password=_no_password)
            except ssl.SSLError as error:
                why = "the key is of another certificate" if error.reason == "KEY_VALUES_MISMATCH" else "no PEM"
                files = " and ".join(filter(None, (self.certfile, self.keyfile)))
                raise PerfError(f"{files}: no certificate with its key: {why}") from None
        return context


def failure(error: ssl.SSLError) -> str:
    """What to do about it; empty: that is not known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message}; name the authority with --cacertfile, or use --insecure"
    return "no TLS there; write amqp:// in place of amqps://" if error.reason == "WRONG_VERSION_NUMBER" else ""


def _no_password() -> str:
    """Else OpenSSL would ask the terminal for one."""
    raise PerfError("the key is encrypted; name one that is not with --keyfile")

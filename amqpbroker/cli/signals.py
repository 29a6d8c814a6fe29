"""The signals that ask a command to end."""

import signal


def ending() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and the closing of the terminal, unless `nohup` has that ignored."""
    found = [signal.SIGINT, signal.SIGTERM]
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        found.append(hangup)
    return found

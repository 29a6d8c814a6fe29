"""Errors of a client's connection and its channels."""


class LinkError(Exception):
    """The connection is closed, or cannot be opened; the text gives the reason, without secrets."""


class MechanismError(LinkError):
    """The broker offers none of the mechanisms that the client may log in by. offered: those of the broker."""

    def __init__(self, wanted: tuple[str, ...], offered: list[str]) -> None:
        super().__init__(f"the broker offers none of {', '.join(wanted)} to log in by")
        self.offered = offered


class ChannelClosedError(LinkError):
    """The broker closed a channel. code: AMQP's reply code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

"""How a shovel fails."""


class LinkError(Exception):
    """A connection that is no more, or cannot be had; the text says why, without secrets."""


class ChannelClosedError(LinkError):
    """The broker closed a channel. code: AMQP's reply code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

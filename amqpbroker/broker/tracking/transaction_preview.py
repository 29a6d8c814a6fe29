"""A message of a transaction that is about to be committed."""

from typing import NamedTuple

from amqpbroker.message.message import Message


class TransactionPreview(NamedTuple):
    """A message that is going to be published.

    dropped: all that it reaches is going to drop it as a duplicate. ends: no queue stores it, so that it is settled at
    once.
    """

    message: Message
    dropped: bool
    ends: bool

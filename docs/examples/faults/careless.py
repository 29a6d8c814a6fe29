"""The same shop with two mistakes, which do not show until something goes wrong."""

import contextlib

import careful
from pika.exceptions import NackError


class Till(careful.Till):
    """Takes an order for taken when the broker has answered, whatever that has said."""

    def _publish(self, body, properties):
        with contextlib.suppress(NackError):
            super()._publish(body, properties)


class Books(careful.Books):
    """Takes every delivery for a new order."""

    def _is_known(self, message_id):
        return False

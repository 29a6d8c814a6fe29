"""The same shop with two mistakes, which go unnoticed until a fault occurs."""

import contextlib

import careful
from pika.exceptions import NackError


class Till(careful.Till):
    """Treats an order as accepted when the broker has answered, even if the answer is a refusal."""

    def _publish(self, body, properties):
        with contextlib.suppress(NackError):
            super()._publish(body, properties)


class Books(careful.Books):
    """Treats every delivery as a new order."""

    def _is_known(self, message_id):
        return False

"""Renewal of locks, which clients request by publishing a message, and administrators over HTTP.

A client publishes to the default exchange with the routing key of `RENEW_LOCK`. RabbitMQ routes such a message to no
queue and drops it.
"""

from typing import Final, final

from amqpbroker import errors
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.consumer_timeout import renewed_terms
from amqpbroker.amqp.locks import Locks
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import INTEGER_KINDS, Field

#: Exchange and routing key of the message, as in `Message.address`.
RENEW_LOCK: Final = b"\0\x0eamq.renew-lock"
_TAG: Final = "x-delivery-tag"
_TIMEOUT: Final = "x-consumer-timeout"


@final
class Renewal:
    """Renews the locks of one channel."""

    def __init__(self, context: ChannelContext, unacked: Unacked, locks: Locks) -> None:
        self._config = context.broker.config
        self._clock = context.broker.clock
        self._unacked = unacked
        self._locks = locks

    def request(self, properties: bytes) -> bool:
        """Handle a message to `RENEW_LOCK`; return whether there is such a delivery, as in `renew`.

        properties: of the message, encoded. Raises AmqpError 406 if its headers are not those of a renewal.
        """
        headers: dict[str, Field] = decode_properties(properties).get("headers") or {}
        tag, timeout_ms = headers.get(_TAG), headers.get(_TIMEOUT)
        if tag is None or tag.kind not in INTEGER_KINDS or tag.value < 0:
            raise _invalid(_TAG, "the delivery tag as an integer, or 0 for all deliveries of the channel")
        if timeout_ms is not None:
            if timeout_ms.kind not in INTEGER_KINDS or not 0 <= timeout_ms.value <= MAX_EXPIRY_MS:
                limit = f"0 for an immediate return, {MAX_EXPIRY_MS} at most"
                raise _invalid(_TIMEOUT, f"the milliseconds from now on as an integer, {limit}")
            return self.renew(tag.value, timeout_ms.value)
        return self.renew(tag.value, None)

    def renew(self, tag: int, timeout_ms: int | None) -> bool:
        """Renew the lock of an outstanding delivery, or of all for tag 0. Return False if there is no such delivery.

        timeout_ms: from now on; None for the delivery's timeout again; 0 returns the message to its queue. A delivery
        without a lock gets one if a timeout is given or applies to it.
        """
        entries = self._unacked.entries
        tags = list(entries) if tag == 0 else [tag] if tag in entries else []
        if timeout_ms == 0:
            if tags:
                self._unacked.requeue(tags, "requeue")
            return bool(tags)
        now_ms = self._clock.now_ms()
        for each in tags:
            lock = self._locks.find(each)
            if lock is not None:
                terms = lock.terms
            else:
                entry = entries[each]
                found = renewed_terms(self._config, entry.queue, entry.consumer, timeout_ms)
                if found is None:
                    continue
                terms = found
            self._locks.set(each, now_ms + (terms.timeout_ms if timeout_ms is None else timeout_ms), terms)
        return bool(tags)


def _invalid(header: str, expected: str) -> errors.AmqpError:
    return errors.precondition_failed(f"invalid header '{header}' of a message to 'amq.renew-lock': write {expected}")

"""Dead letters: what becomes of a message that leaves a queue for its dead letter exchange."""

from amqpbroker.broker.deaths import Death, recorded
from amqpbroker.broker.message import Message, encode_address
from amqpbroker.wire.headers import with_expiration, with_headers


def dead_lettered(
    message: Message,
    *,
    queue_name: str,
    reason: str,
    now_ms: int,
    exchange: str,
    routing_key: bytes | None,
) -> Message:
    """The message to route through the dead letter exchange (rabbit_dead_letter:publish of RabbitMQ 4.0).

    reason: rejected, expired, maxlen or delivery_limit. exchange: the dead letter exchange. routing_key: the queue's
    x-dead-letter-routing-key, alone; with None the message keeps all its keys, CC and BCC included. An x-death header
    that a client sent is not continued but replaced. The message does not expire any more.
    """
    death = Death(
        queue=queue_name,
        reason=reason,
        count=1,
        time_s=now_ms // 1000,
        exchange=message.exchange,
        routing_keys=_visible_keys(message),
        expiration_ms=message.expiration_ms,
    )
    deaths = recorded(message.deaths, death)
    changes = deaths.headers()
    properties = with_headers(with_expiration(message.properties, -1), changes)
    address = encode_address(exchange, message.routing_key if routing_key is None else routing_key)
    letter = message.rewritten(address, properties, {**(message.headers or {}), **changes})
    letter.expiration_ms = -1
    letter.deaths = deaths
    if routing_key is not None:
        letter.extra_keys = ()
        letter.cc_keys = 0
    return letter


def is_cycle(message: Message, queue_name: str) -> bool:
    """Whether a dead letter must not go to this queue: it died there before, and no client has rejected it since."""
    return message.deaths is not None and message.deaths.is_cycle(queue_name)


def _visible_keys(message: Message) -> tuple[bytes, ...]:
    """The routing keys without those of BCC; of a key that occurs several times, BCC hides the first (Erlang's --)."""
    keys = list(message.routing_keys)
    for hidden in message.extra_keys[message.cc_keys :]:
        if hidden in keys:
            keys.remove(hidden)
    return tuple(keys)

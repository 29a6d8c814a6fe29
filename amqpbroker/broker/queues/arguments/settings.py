"""Settings of a queue, made from its arguments and policy, as plain attributes.

If a policy changes, new settings (`queue_settings`) replace the queue's old ones as a whole.
"""

from dataclasses import dataclass, field
from typing import final

from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.queues.arguments.retry_delay import RetryDelay
from amqpbroker.broker.queues.groups.options import Grouping
from amqpbroker.broker.queues.last_value.options import LastValue

#: Values of x-message-ttl-mode.
HEAD = "head"
ANY = "any"


@final
@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Settings of a queue. Numbers are -1 for none, except `max_priority`: 0 for no priorities, else 1 to 255.

    overflow: "drop-head", "reject-publish" or "reject-publish-dlx". dead_letter_exchange: None for no dead-lettering;
    "" is the default exchange. dead_letter_routing_key: None to keep the message's own keys. dead_letter_strategy:
    "at-most-once" or "at-least-once". auto_dead_letter_queue: name of the queue for dead letters, which is created for
    the first one; only without a dead letter exchange. consumer_timeout_action, consumer_timeout_renew: as the
    arguments, "" if they are absent. retry: delay of returned messages, None for no delay. delivery_time_header: name
    of the header with the time until which a published message is delayed, None for no such header. deduplication: how
    duplicates are recognised, None if they are not. last_value: which messages replace others, None if none do. groups:
    how messages are grouped, None if they are not. message_ttl_mode: HEAD if only messages at the head expire, ANY if
    messages at any position do. ignores_rejects: a rejected message of a batch has not failed as long as a dead letter
    exchange takes it. max_age_ms, segment_bytes: of a stream: age from which a segment is removed, and size from which
    another one is begun. plain: a publish is subject to no TTL, length limit or delivery time. delays: messages may be
    delayed. expires_anywhere: the mode is ANY. dead_letters: messages that leave the queue may be dead-lettered.
    """

    max_priority: int = 0
    message_ttl_ms: int = -1
    expires_ms: int = -1
    max_length: int = -1
    max_length_bytes: int = -1
    overflow: str = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: bytes | None = None
    dead_letter_strategy: str = "at-most-once"
    auto_dead_letter_queue: str | None = None
    single_active_consumer: bool = False
    delivery_limit: int = -1
    consumer_timeout_ms: int = -1
    consumer_timeout_action: str = ""
    consumer_timeout_renew: str = ""
    retry: RetryDelay | None = None
    delivery_time_header: bytes | None = None
    deduplication: Deduplication | None = None
    message_ttl_mode: str = HEAD
    last_value: LastValue | None = None
    ignores_rejects: bool = False
    groups: Grouping | None = None
    max_age_ms: int = -1
    segment_bytes: int = -1
    plain: bool = field(init=False)
    delays: bool = field(init=False)
    expires_anywhere: bool = field(init=False)
    dead_letters: bool = field(init=False)

    def __post_init__(self) -> None:
        unlimited = self.message_ttl_ms < 0 and self.max_length < 0 and self.max_length_bytes < 0
        plain = unlimited and self.delivery_time_header is None
        object.__setattr__(self, "plain", plain)
        object.__setattr__(self, "delays", self.retry is not None or self.delivery_time_header is not None)
        object.__setattr__(self, "expires_anywhere", self.message_ttl_mode == ANY)
        dead_letters = self.dead_letter_exchange is not None or self.auto_dead_letter_queue is not None
        object.__setattr__(self, "dead_letters", dead_letters)

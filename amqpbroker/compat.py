"""Differences between RabbitMQ's releases that a client can notice here.

`COMPATS` has a row for every release series that the setting `compat` can name. Code checks the fields of a `Compat`,
never a version number.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

#: RabbitMQ's deprecated features. Compat has fields for the modelled ones; the others have no effect.
DEPRECATED_FEATURES = (
    "amqp_address_v1",
    "amqp_filter_set_bug",
    "classic_queue_mirroring",
    "global_qos",
    "management_metrics_collection",
    "queue_master_locator",
    "ram_node_type",
    "transient_nonexcl_queues",
)


class Permission(Enum):
    """Use of a deprecated feature. DENIED is RabbitMQ's default; OVERRIDDEN means denied by the configuration."""

    PERMITTED = 1
    DENIED = 2
    OVERRIDDEN = 3


class Compat(NamedTuple):
    """Behaviour of one release series of RabbitMQ.

    version: the last known release of the series, announced to clients. copyright_until: the last year in its copyright
    notice. frame_min: the smallest frame_max that may be negotiated, and the largest frame before the login.
    tells_tune_errors: an invalid tune-ok is answered with connection.close; other series just close after a while.
    transient_nonexcl_queues, global_qos, queue_master_locator: deprecated features. arguments_of_4_3: arguments of
    queues and consumers: x-queue-mode means nothing, x-queue-version is 2, and quorum queues and their consumers have
    x-consumer-timeout; policies have the corresponding keys. counts_only_failures: basic.nack and basic.recover do not
    count against the delivery limit of a quorum queue, which counts all returns in x-acquired-count.
    unlimited_returns_go_last: without a delivery limit, a message returned to a quorum queue goes to the end of the
    queue; in other series it goes to the front.
    strict_priorities: a quorum queue has the priorities 0 to 31, highest first; other series have two priorities with
    weighted delivery. queues_have_timeouts: only quorum queues have a consumer timeout, and they take back overdue
    messages; other series close the channel. most_topic_hashes: the most `#` words in the binding key of a topic
    exchange, 0 for any number. passive_is_checked: a passive declaration requires a permission, of any kind.
    modulus_hash: there are exchanges of the type x-modulus-hash. streams_show_consumers: the consumers of streams are
    shown as active, and have events. streams_have_timestamps: the time of the oldest message of a stream is shown.
    checks_filter_size: x-stream-filter-size-bytes is checked and compared like other arguments. extensions: arguments,
    policy keys and settings that RabbitMQ does not have are accepted; otherwise they are treated as in RabbitMQ.
    """

    version: str
    copyright_until: int
    frame_min: int
    tells_tune_errors: bool
    transient_nonexcl_queues: Permission
    global_qos: Permission
    queue_master_locator: Permission
    arguments_of_4_3: bool
    counts_only_failures: bool
    unlimited_returns_go_last: bool
    strict_priorities: bool
    queues_have_timeouts: bool
    most_topic_hashes: int
    passive_is_checked: bool
    modulus_hash: bool
    streams_show_consumers: bool
    streams_have_timestamps: bool
    checks_filter_size: bool
    extensions: bool = True

    def configured(self, permit: Mapping[str, bool], extensions: bool = True) -> "Compat":
        """Return a copy with or without extensions, and with deprecated features permitted or denied
        (rabbit_deprecated_features:should_be_permitted/2).
        """
        return self._replace(
            extensions=extensions,
            transient_nonexcl_queues=_configured(self.transient_nonexcl_queues, permit.get("transient_nonexcl_queues")),
            global_qos=_configured(self.global_qos, permit.get("global_qos")),
            queue_master_locator=_configured(self.queue_master_locator, permit.get("queue_master_locator")),
        )


def _configured(default: Permission, permit: bool | None) -> Permission:
    if permit is None or (not permit and default is Permission.DENIED):
        return default
    return Permission.PERMITTED if permit else Permission.OVERRIDDEN


_4_0 = Compat(
    version="4.0.5",
    copyright_until=2024,
    frame_min=4096,
    tells_tune_errors=False,
    transient_nonexcl_queues=Permission.PERMITTED,
    global_qos=Permission.PERMITTED,
    queue_master_locator=Permission.PERMITTED,
    arguments_of_4_3=False,
    counts_only_failures=False,
    unlimited_returns_go_last=True,
    strict_priorities=False,
    queues_have_timeouts=False,
    most_topic_hashes=0,
    passive_is_checked=False,
    modulus_hash=False,
    streams_show_consumers=False,
    streams_have_timestamps=False,
    checks_filter_size=False,
)
_4_1 = _4_0._replace(version="4.1.8", copyright_until=2026, frame_min=8192)
_4_2 = _4_1._replace(
    version="4.2.9",
    tells_tune_errors=True,
    streams_show_consumers=True,
    streams_have_timestamps=True,
    checks_filter_size=True,
)
_4_3 = _4_2._replace(
    version="4.3.6",
    transient_nonexcl_queues=Permission.DENIED,
    global_qos=Permission.DENIED,
    queue_master_locator=Permission.DENIED,
    arguments_of_4_3=True,
    counts_only_failures=True,
    unlimited_returns_go_last=False,
    strict_priorities=True,
    queues_have_timeouts=True,
    most_topic_hashes=2,
    passive_is_checked=True,
    modulus_hash=True,
)

#: Release series -> behaviour of its last release. Sources: the release notes of 4.1.0, 4.2.0 and 4.3.0; the source of
#: 4.3.5 (rabbit_reader, rabbit_fifo, rabbit_fifo_pq, rabbit_amqqueue, rabbit_channel, rabbit_exchange_type_topic,
#: rabbit_exchange_type_modulus_hash).
COMPATS: dict[str, Compat] = {"4.0": _4_0, "4.1": _4_1, "4.2": _4_2, "4.3": _4_3}

DEFAULT_COMPAT = _4_0
NEWEST_COMPAT = _4_3
#: The oldest release, without extensions.
OLDEST_COMPAT = _4_0._replace(extensions=False)

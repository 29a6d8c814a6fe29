"""The state of a batch of messages, as tests see it."""

from collections.abc import Mapping
from dataclasses import dataclass

from amqpbroker.broker.vhost import Vhost
from amqpbroker.testing.checks import check_text
from amqpbroker.testing.hints import did_you_mean
from amqpbroker.wire.values import text


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of a batch of messages with the header `x-batch-id`.

    - `vhost`, `id`: name of the vhost, and the id, as text.
    - `state`: "open"; "complete" when all members were settled, and some have failed; "success" when none has.
    - `size`: number of members; None while no member has named it.
    - `ok`, `failed`, `open`: number of members that succeeded, that failed, and that were never settled.
    - `failures`: (message id, queue, reason) of failed members, at most 100.
    """

    vhost: str
    id: str
    state: str
    size: int | None
    ok: int
    failed: int
    open: int
    failures: tuple[tuple[str, str, str], ...]


def batch_state(vhosts: Mapping[str, Vhost], id_: str, vhost: str | None) -> BatchState:
    """Return the state of a batch. vhost: None for any.

    Raises AssertionError if there is no such batch, ValueError if several vhosts have one.
    """
    check_text("batch_id", id_)
    check_text("vhost", vhost, optional=True)
    batches = [
        each for name, one in vhosts.items() if vhost in (None, name) and one.batches for each in one.batches.all()
    ]
    found = [each for each in batches if text(each.id) == id_]
    if not found:
        hint = did_you_mean(id_, [text(each.id) for each in batches], quoted=True)
        raise AssertionError(f"there is no batch {id_!r}{'' if vhost is None else f' in vhost {vhost!r}'}{hint}")
    if len(found) > 1:
        names = " and ".join(repr(each.vhost) for each in found)
        raise ValueError(f"the vhosts {names} have a batch {id_!r}: choose one, such as vhost={found[0].vhost!r}")
    batch = found[0]
    return BatchState(
        batch.vhost,
        id_,
        batch.state,
        None if batch.terms.size < 0 else max(batch.terms.size, batch.total),
        batch.ok,
        batch.failed,
        batch.open,
        tuple([(text(failure.message_id), failure.queue, failure.reason) for failure in batch.failures.values()]),
    )

"""The state of a job, as tests see it."""

from dataclasses import dataclass

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.jobs.standing import Standings
from amqpbroker.testing.checks import check_text
from amqpbroker.testing.hints import did_you_mean
from amqpbroker.wire.values import text


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of a job: of a message with the header `x-job`.

    - `vhost`, `id`: name of the vhost, and the message id, as text.
    - `state`: "queued", "delayed", "running", "retrying", "parked", "done" or "failed".
    - `queue`: name of the queue that has the message, or had it last; None if there is none.
    - `attempt`: number of deliveries, the present one included; 0 if there was none, or if that is unknown.
    - `reason`: of a failure, such as "rejected" or "cancelled"; None for another state.
    - `reply`: body of the worker's last reply; None if there is none.
    """

    vhost: str
    id: str
    state: str
    queue: str | None
    attempt: int
    reason: str | None
    reply: bytes | None


def job_state(broker: Broker, id_: str, vhost: str | None) -> JobState:
    """Return the state of a job. vhost: None for any.

    Raises AssertionError if there is no such job, ValueError if several vhosts have one.
    """
    check_text("job_id", id_)
    check_text("vhost", vhost, optional=True)
    jobs = [
        (one, each)
        for name, one in broker.vhosts.items()
        if vhost in (None, name) and one.jobs
        for each in one.jobs.all()
    ]
    found = [(one, each) for one, each in jobs if text(each.id) == id_]
    if not found:
        hint = did_you_mean(id_, [text(each.id) for _, each in jobs], quoted=True)
        raise AssertionError(f"there is no job {id_!r}{'' if vhost is None else f' in vhost {vhost!r}'}{hint}")
    if len(found) > 1:
        names = " and ".join(repr(one.name) for one, _ in found)
        raise ValueError(f"the vhosts {names} have a job {id_!r}: choose one, such as vhost={found[0][0].name!r}")
    one, job = found[0]
    standing = Standings(one.queues, broker.sessions, broker.clock.ahead_ms).of(job)
    reply = job.read_reply()
    reason = job.failure.reason if standing.state == "failed" and job.failure is not None else None
    return JobState(
        one.name, id_, standing.state, standing.queue, standing.attempt, reason, None if reply is None else reply[1]
    )

"""The state of a job, as tests see it."""

from dataclasses import dataclass

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.jobs.job_status import JobStatuses
from amqpbroker.testing.checks import check_text
from amqpbroker.testing.hints import did_you_mean
from amqpbroker.wire.values import text


@dataclass(frozen=True, slots=True)
class JobState:
    """The state of a job: of a message with the header `x-job`.

    - `vhost`, `id`, `user`: name of the vhost, the message id, as text, and the user who published the job.
    - `state`: "queued", "delayed", "running", "retrying", "parked", "done" or "failed".
    - `queue`: name of the queue that has the message, or had it last; None if there is none.
    - `attempt`: number of deliveries, the present one included; 0 if there was none, or if that is unknown.
    - `reason`: of a failure, such as "rejected" or "cancelled"; None for another state.
    - `reply`: body of the worker's last reply; None if there is none.
    """

    vhost: str
    id: str
    user: str
    state: str
    queue: str | None
    attempt: int
    reason: str | None
    reply: bytes | None


def job_state(broker: Broker, id_: str, vhost: str | None, user: str | None) -> JobState:
    """Return the state of a job. vhost, user: None for any.

    Raises AssertionError if there is no such job, ValueError if several vhosts or users have one.
    """
    check_text("job_id", id_)
    check_text("vhost", vhost, optional=True)
    check_text("user", user, optional=True)
    jobs = [
        (one, each)
        for name, one in broker.vhosts.items()
        if vhost in (None, name) and one.jobs
        for each in one.jobs.all()
        if user in (None, each.user)
    ]
    found = [(one, each) for one, each in jobs if text(each.id) == id_]
    if not found:
        hint = did_you_mean(id_, [text(each.id) for _, each in jobs], quoted=True)
        place = "" if vhost is None else f" in vhost {vhost!r}"
        owner = "" if user is None else f" of user {user!r}"
        raise AssertionError(f"there is no job {id_!r}{owner}{place}{hint}")
    for kind, names in (("vhost", {one.name: 0 for one, _ in found}), ("user", {each.user: 0 for _, each in found})):
        if len(names) > 1:
            shown = [repr(name) for name in names]
            raise ValueError(
                f"the {kind}s {' and '.join(shown)} have a job {id_!r}: choose one, such as {kind}={shown[0]}"
            )
    one, job = found[0]
    job_status = JobStatuses(one.queues, broker.sessions, broker.clock.ahead_ms).of(job)
    reply = job.read_reply()
    reason = job.failure.reason if job_status.state == "failed" and job.failure is not None else None
    return JobState(
        one.name,
        id_,
        job.user,
        job_status.state,
        job_status.queue,
        job_status.attempt,
        reason,
        None if reply is None else reply[1],
    )

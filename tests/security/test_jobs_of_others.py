"""Jobs of one user, and another user who knows their ids. docs/security.md has the table.

"mallory" may publish to the default exchange, and has a queue of her own. The queue "q" belongs to others.
"""

from typing import Any

import httpx

from amqpbroker.broker.jobs.job import Job
from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire
from tests.management.api import Api

VICTIM, MALLORY, OPERATOR = ("victim", "p"), ("mallory", "p"), ("operator", "p")


class Scene:
    """A broker with the users, and the worker of the queue "q"."""

    def __init__(self) -> None:
        self.api = Api()
        for name, _ in (VICTIM, MALLORY, OPERATOR):
            self.api.user(name)
        users = self.api.broker.users
        users.set_permissions("victim", "/", "", "^amq.default$", "^q$")
        users.set_permissions("mallory", "/", "^mine", "^(amq.default|mine.*)$", "^mine")
        users.set_permissions("operator", "/", "", "", ".*")
        self.worker = Wire(self.api.broker).log_in()
        self.worker.declare("q", durable=True)
        self.victim = Wire(self.api.broker).log_in(*VICTIM)
        self.mallory = Wire(self.api.broker).log_in(*MALLORY)
        self.mallory.declare("mine")

    def send(self, wire: Wire, queue: str, id_: str = "1", headers: Any = None, **properties: Any) -> None:
        """Publish a job with this message id."""
        headers = {"x-job": Field("t", True), **(headers or {})}
        wire.publish(queue, b"work", message_id=id_.encode(), headers=headers, delivery_mode=2, **properties)
        assert wire.receive() == []

    def get(self, wire: Wire, queue: str) -> Received:
        got = wire.call(1, "basic.get", queue=queue)
        assert got.name == "basic.get-ok", got
        return got

    def settle(self, wire: Wire, got: Received, how: str = "ack", **arguments: Any) -> None:
        wire.send(1, f"basic.{how}", delivery_tag=got.arguments["delivery_tag"], **arguments)
        assert wire.receive() == []

    async def look(self, auth: tuple[str, str], query: str = "") -> httpx.Response:
        return await self.api.get(f"jobs/%2F/1{query}", auth=auth)

    async def state(self, auth: tuple[str, str] = VICTIM, query: str = "") -> Any:
        return (await self.look(auth, query)).json()["state"]

    async def delete(self, auth: tuple[str, str], query: str = "") -> int:
        return (await self.api.delete(f"jobs/%2F/1{query}", auth=auth)).status_code

    def jobs(self) -> list[Job]:
        jobs = self.api.broker.vhosts["/"].jobs
        assert jobs is not None
        return jobs.all()


def reply_to(got: Received) -> bytes:
    assert got.properties is not None
    address: bytes = got.properties["reply_to"]
    return address


async def test_publish_by_another_user_does_not_get_the_reply_address_of_a_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    scene.send(scene.mallory, "mine")
    hers, his = scene.get(scene.mallory, "mine"), scene.get(scene.worker, "q")
    assert reply_to(hers) != reply_to(his)
    scene.mallory.publish(reply_to(hers).decode(), b"forged")
    scene.settle(scene.worker, his)
    assert (await scene.look(VICTIM)).json()["reply"] is None


async def test_publish_by_another_user_does_not_show_the_reply_of_a_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    his = scene.get(scene.worker, "q")
    scene.worker.publish(reply_to(his).decode(), b"secret")
    scene.settle(scene.worker, his)
    scene.send(scene.mallory, "mine")
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine"))
    assert (await scene.look(MALLORY)).json()["reply"] is None
    assert (await scene.look(MALLORY, "?user=victim")).status_code == 401
    assert (await scene.look(VICTIM)).json()["reply"]["payload"] == "secret"


async def test_rejected_message_of_another_user_does_not_fail_a_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    scene.send(scene.mallory, "mine")
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine"), "reject", requeue=False)
    scene.settle(scene.worker, scene.get(scene.worker, "q"))
    assert await scene.state() == "done"
    assert await scene.state(MALLORY) == "failed"


async def test_unsettled_message_of_another_user_does_not_prolong_a_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    scene.send(scene.mallory, "mine")
    scene.settle(scene.worker, scene.get(scene.worker, "q"))
    assert await scene.state() == "done"


async def test_publish_by_another_user_does_not_replace_an_ended_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    scene.settle(scene.worker, scene.get(scene.worker, "q"))
    scene.send(scene.mallory, "mine")
    scene.send(scene.mallory, "nowhere", headers={"x-job-user": longstr("victim")})
    assert await scene.state() == "done"
    assert await scene.delete(MALLORY) == 204
    assert await scene.state() == "done"


async def test_earlier_publish_by_another_user_does_not_take_the_id_of_a_job() -> None:
    scene = Scene()
    scene.send(scene.mallory, "mine")
    body = {"routing_key": "q", "properties": {"message_id": "1"}}
    answer = await scene.api.post("jobs/%2F/amq.default", body, auth=VICTIM)
    assert answer.status_code == 202
    assert [job.user for job in scene.jobs()] == ["mallory", "victim"]
    assert (await scene.look(VICTIM)).json()["user"] == "victim"


async def test_deleting_a_job_does_not_remove_the_message_of_another_user() -> None:
    scene = Scene()
    scene.send(scene.mallory, "mine")
    scene.send(scene.victim, "q")
    assert await scene.delete(MALLORY) == 204
    assert scene.worker.depth("q") == 1
    assert await scene.state() == "queued"
    assert await scene.delete(MALLORY, "?user=victim") == 401
    assert scene.worker.depth("q") == 1


async def test_deleting_a_job_needs_the_permission_to_read_its_queues() -> None:
    scene = Scene()
    scene.send(scene.mallory, "q")
    assert await scene.state(MALLORY) == "queued"
    assert await scene.delete(MALLORY) == 401
    assert scene.worker.depth("q") == 1
    assert await scene.delete(OPERATOR) == 204
    assert scene.worker.depth("q") == 0


async def test_header_of_a_publisher_does_not_name_the_user_of_a_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    scene.send(scene.mallory, "mine", headers={"x-job-user": longstr("victim")})
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine"), "reject", requeue=False)
    assert await scene.state() == "queued"


async def test_dead_letter_of_another_user_does_not_join_a_later_job() -> None:
    scene = Scene()
    to_grave = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("mine-dead")}
    scene.mallory.declare("mine-dead", arguments={**to_grave, "x-dead-letter-routing-key": longstr("mine-live")})
    scene.mallory.declare("mine-live", arguments=to_grave)
    scene.send(scene.mallory, "mine-live")
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine-live"), "reject", requeue=False)
    assert await scene.delete(MALLORY) == 204
    scene.send(scene.victim, "q")
    # Back in the queue in which it was rejected, a copy counts again.
    scene.mallory.call(1, "queue.purge", queue="mine-live")
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine-dead"), "reject", requeue=False)
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine-live"), "reject", requeue=False)
    scene.settle(scene.worker, scene.get(scene.worker, "q"))
    assert await scene.state() == "done"


async def test_job_in_a_transaction_of_another_user_is_a_job_of_its_own() -> None:
    scene = Scene()
    scene.mallory.call(1, "tx.select")
    scene.send(scene.mallory, "mine")
    scene.send(scene.victim, "q")
    scene.mallory.call(1, "tx.commit")
    scene.settle(scene.mallory, scene.get(scene.mallory, "mine"), "reject", requeue=False)
    scene.mallory.call(1, "tx.commit")
    assert (await scene.state(), await scene.state(MALLORY)) == ("queued", "failed")


async def test_job_is_visible_to_those_who_may_read_its_first_queue() -> None:
    scene = Scene()
    scene.worker.declare(
        "first",
        arguments={
            "x-dead-letter-exchange": longstr(""),
            "x-message-ttl": Field("l", 0),
            "x-dead-letter-routing-key": longstr("mine"),
        },
    )
    scene.send(scene.victim, "first")
    assert scene.mallory.depth("mine") == 1
    assert (await scene.look(MALLORY)).status_code == 401
    assert (await scene.api.get("jobs", auth=MALLORY)).json() == []
    assert await scene.state(OPERATOR) == "queued"
    scene.api.broker.users.set_permissions("operator", "/", "", "", "^first$")
    assert await scene.state(OPERATOR) == "queued"
    assert await scene.delete(OPERATOR) == 401
    assert scene.mallory.depth("mine") == 1


async def test_user_who_may_look_up_several_jobs_with_an_id_names_their_user() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    scene.send(scene.mallory, "mine")
    answer = await scene.look(OPERATOR)
    assert answer.status_code == 409
    assert answer.json()["reason"] == (
        "several users, such as 'victim' and 'mallory', have a job \"1\": choose one of them, such as ?user=victim"
    )
    assert (await scene.look(OPERATOR, "?user=mallory")).json()["queue"] == "mine"
    assert (await scene.look(OPERATOR, "?user=guest")).status_code == 404


async def test_worker_that_publishes_a_message_with_its_reply_address_again_adds_a_copy() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    got = scene.get(scene.worker, "q")
    assert got.properties is not None
    headers = got.properties["headers"]
    scene.send(scene.worker, "q", headers=headers, reply_to=reply_to(got))
    scene.settle(scene.worker, got)
    assert await scene.state() == "queued"
    again = scene.get(scene.worker, "q")
    scene.worker.publish(reply_to(again).decode(), b"result")
    scene.settle(scene.worker, again)
    assert (await scene.look(VICTIM)).json()["reply"]["payload"] == "result"
    # After the end, it is a job of the worker.
    scene.send(scene.worker, "q", headers=headers, reply_to=reply_to(got))
    assert [(job.user, job.has_ended) for job in scene.jobs()] == [("victim", True), ("guest", False)]


async def test_reply_address_of_a_job_is_refused_over_http_with_its_id() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    address = reply_to(scene.get(scene.worker, "q")).decode()
    body = {"routing_key": "q", "properties": {"message_id": "1", "reply_to": address}}
    assert (await scene.api.post("jobs/%2F/amq.default", body)).status_code == 409
    assert len(scene.jobs()) == 1


async def test_consumer_sees_the_user_of_a_job() -> None:
    scene = Scene()
    scene.send(scene.victim, "q")
    got = scene.get(scene.worker, "q")
    assert got.properties is not None
    assert got.properties["headers"]["x-job-user"] == longstr("victim")

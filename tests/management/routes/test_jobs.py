import asyncio
import base64
from dataclasses import replace
from typing import Any

import httpx
import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.compat import OLDEST_COMPAT
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.management.routes import jobs as routes
from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire
from tests.management.api import Api

NOW = "1970-01-01T00:16:40.000+00:00"
IN_AN_HOUR = "1970-01-01T01:16:40.000+00:00"


class Client:
    """A client of the API that publishes jobs for the queue "q", and a worker."""

    def __init__(self, config: Config | None = None, **arguments: Field) -> None:
        self.api = Api(config)
        self.worker = Wire(self.api.broker).log_in()
        self.worker.call(1, "queue.declare", queue="q", arguments=arguments)

    async def post(
        self, exchange: str = "amq.default", id_: str | None = "1", auth: Any = None, **body: Any
    ) -> httpx.Response:
        properties = body.pop("properties", {}) | ({} if id_ is None else {"message_id": id_})
        body = {"routing_key": "q", "payload": "work", "properties": properties} | body
        body = {key: value for key, value in body.items() if value is not None}
        options = {} if auth is None else {"auth": auth}
        return await self.api.post(f"jobs/%2F/{exchange}", body, **options)

    async def get(self, id_: str = "1", query: str = "", **options: Any) -> httpx.Response:
        return await self.api.get(f"jobs/%2F/{id_}{query}", **options)

    def take(self) -> Received:
        got = self.worker.call(1, "basic.get", queue="q")
        assert got.name == "basic.get-ok", got
        return got

    def reply(self, got: Received, body: bytes, **properties: Any) -> None:
        assert got.properties is not None
        self.worker.publish(got.properties["reply_to"].decode(), body, **properties)

    def settle(self, got: Received, how: str = "ack", **arguments: Any) -> None:
        self.worker.send(1, f"basic.{how}", delivery_tag=got.arguments["delivery_tag"], **arguments)
        self.worker.receive()


# --- publish ----------------------------------------------------------------------------------------------------------


async def test_job_is_accepted_with_its_location() -> None:
    client = Client()
    answer = await client.post()
    assert answer.status_code == 202
    assert answer.headers["location"] == "/api/jobs/%2F/1"
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "id": "1",
        "vhost": "/",
        "state": "queued",
        "user": "guest",
        "exchange": "",
        "routing_key": "q",
        "queue": "q",
        "created_at": NOW,
        "position": 1,
    }
    got = client.take()
    assert got.body == b"work"
    assert (got.properties or {})["delivery_mode"] == 2
    assert (got.properties or {})["headers"] == {"x-job": Field("t", True), "x-job-user": longstr("guest")}


async def test_broker_makes_up_an_absent_id() -> None:
    client = Client()
    first, second = [(await client.post(id_=None)).json()["id"] for _ in range(2)]
    assert len(first) == 32
    assert first != second
    assert (await client.get(first)).json()["state"] == "queued"


async def test_location_is_quoted_and_has_the_prefix() -> None:
    config = Config()
    config = replace(config, management=config.management._replace(path_prefix="/mq"))
    client = Client(config)
    body = {"routing_key": "q", "payload": "", "properties": {"message_id": "a/b c"}}
    answer = await client.api.post("/mq/api/jobs/%2F/amq.default", body)
    assert answer.headers["location"] == "/mq/api/jobs/%2F/a%2Fb%20c"
    assert (await client.api.get(answer.headers["location"])).json()["id"] == "a/b c"


async def test_payload_in_base64_is_decoded() -> None:
    client = Client()
    await client.post(payload=base64.b64encode(b"\xff").decode(), payload_encoding="base64")
    assert client.take().body == b"\xff"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"routing_key": None}, "[{key_missing,routing_key}]"),
        ({"message": "x"}, 'the body has no key "message"; the keys are '),
        ({"payload": 5}, "payload_not_string"),
        ({"payload_encoding": "hex"}, ["unsupported_encoding", "hex"]),
        ({"properties": "x"}, 'properties = "x": this must be an object'),
        ({"properties": {"mesage_id": "1"}}, 'properties has no key "mesage_id"; the keys are content_type, '),
        ({"properties": {"priority": -1}}, "properties.priority = -1: this must be a whole number from 0 to 255"),
        ({"properties": {"delivery_mode": 3}}, "properties.delivery_mode = 3: this must be a whole number from 0 to 2"),
        ({"properties": {"delivery_mode": 1.5}}, "properties.delivery_mode = 1.5: this must be a whole number"),
        ({"properties": {"headers": 5}}, "properties.headers = 5: this must be an object"),
        ({"properties": {"headers": {"x-job": False}}}, "properties.headers.x-job = false: this must be true"),
        ({"properties": {"message_id": ""}}, 'properties.message_id = "": this must be a string of 1 to 255 bytes'),
        ({"properties": {"message_id": "."}}, 'properties.message_id = ".": this must be another id: clients remove'),
        (
            {"properties": {"message_id": ".."}},
            'properties.message_id = "..": this must be another id: clients remove',
        ),
        ({"properties": {"message_id": 5}}, "properties.message_id = 5: this must be a string of 1 to 255 bytes"),
        ({"properties": {"message_id": "x" * 256}}, "message_id should be less than 255 bytes, actually was 256"),
        (
            {"properties": {"headers": {"x-job-ttl": 0}}},
            "406 PRECONDITION_FAILED - invalid header 'x-job-ttl': expected 1 to ",
        ),
    ],
)
async def test_bad_body_is_refused(body: dict[str, Any], reason: str | list[str]) -> None:
    client = Client()
    given = body.get("properties")
    if not isinstance(given, dict | None):
        answer = await client.api.post("jobs/%2F/amq.default", {"routing_key": "q", **body})
    else:
        answer = await client.post(id_=None, **body)
    assert answer.status_code == 400
    assert answer.json()["reason"][: len(reason)] == reason
    assert (await client.api.get("jobs")).json() == []


async def test_id_of_a_known_job_conflicts_until_it_is_deleted() -> None:
    client = Client()
    await client.post()
    answer = await client.post()
    assert (answer.status_code, answer.headers["location"]) == (409, "/api/jobs/%2F/1")
    client.settle(client.take())
    assert (await client.post()).status_code == 409
    assert (await client.api.delete("jobs/%2F/1")).status_code == 204
    assert (await client.post()).status_code == 202


async def test_known_job_conflicts_after_its_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test a client that got no answer: the answer to its next request has to mean that the job is safe."""
    client = Client()
    await client.post()
    syncs = []

    async def synced(broker: Broker) -> None:
        syncs.append(broker)

    monkeypatch.setattr(routes, "all_synced", synced)
    assert (await client.post()).status_code == 409
    assert len(syncs) == 1


async def test_unroutable_job_is_refused_and_not_known() -> None:
    client = Client()
    answer = await client.post(routing_key="nowhere")
    assert answer.status_code == 422
    assert answer.json() == {
        "error": "unroutable",
        "reason": "exchange '' routes no message with the routing key \"nowhere\"",
    }
    assert (await client.get()).status_code == 404


async def test_job_that_a_full_queue_refuses_may_be_sent_again_later() -> None:
    client = Client(**{"x-max-length": Field("l", 0), "x-overflow": longstr("reject-publish")})
    answer = await client.post()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.json()["error"] == "queue_full"
    assert (await client.get()).status_code == 404


async def test_job_beyond_the_limit_may_be_sent_again_later() -> None:
    client = Client(Config(bounds=BOUNDS._replace(jobs=1)))
    await client.post()
    answer = await client.post(id_="2")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.json()["error"] == "jobs_full"


async def test_job_that_is_dropped_as_a_duplicate_conflicts() -> None:
    client = Client(**{"x-message-deduplication": Field("t", True)})
    headers = {"x-deduplication-header": "same"}
    await client.post(properties={"headers": headers})
    answer = await client.post(id_="2", properties={"headers": headers})
    assert (answer.status_code, answer.json()["error"]) == (409, "duplicate")


async def test_absent_exchange_and_vhost_are_not_found() -> None:
    client = Client()
    assert (await client.post("absent")).status_code == 404
    assert (await client.api.post("jobs/nowhere/amq.default", {"routing_key": "q"})).status_code == 404


async def test_jobs_are_not_found_without_extensions() -> None:
    client = Client(Config(compat=OLDEST_COMPAT))
    assert (await client.post()).status_code == 404
    assert (await client.get()).status_code == 404
    assert (await client.api.get("jobs/%2F")).json() == []


# --- look up ----------------------------------------------------------------------------------------------------------


async def test_running_job_shows_its_consumer() -> None:
    client = Client()
    await client.post()
    client.api.clock.advance(1000)
    client.worker.send(1, "basic.consume", queue="q", consumer_tag="worker")
    client.worker.receive()
    answer = await client.get()
    assert answer.headers["retry-after"] == "1"
    found = answer.json()
    assert (found["state"], found["attempt"], found["since"]) == ("running", 1, "1970-01-01T00:16:41.000+00:00")
    assert found["consumer"]["consumer_tag"] == "worker"
    assert found["consumer"]["connection"]
    assert "position" not in found


async def test_done_job_shows_its_reply() -> None:
    client = Client()
    await client.post()
    got = client.take()
    client.reply(got, b"text", content_type=b"text/plain")
    client.settle(got)
    answer = await client.get()
    assert "retry-after" not in answer.headers
    found = answer.json()
    assert (found["state"], found["ended_at"], found["expires_at"]) == ("done", NOW, IN_AN_HOUR)
    assert found["reply"] == {
        "properties": {"content_type": "text/plain"},
        "payload": "text",
        "payload_encoding": "string",
        "payload_bytes": 4,
    }


@pytest.mark.parametrize("acks_first", [True, False])
async def test_reply_with_the_properties_of_the_job_is_its_reply(acks_first: bool) -> None:
    client = Client()
    await client.post()
    got = client.take()
    assert got.properties is not None
    if acks_first:
        client.settle(got)
    client.reply(got, b"result", **got.properties)
    client.worker.receive()
    if not acks_first:
        client.settle(got)
    job = (await client.get()).json()
    assert (job["state"], job["reply"]["payload"]) == ("done", "result")


async def test_failed_job_shows_the_reason_and_its_deaths() -> None:
    client = Client(**{"x-dead-letter-exchange": longstr("amq.fanout")})
    client.worker.declare("grave")
    client.worker.call(1, "queue.bind", queue="grave", exchange="amq.fanout", routing_key="")
    await client.post()
    client.settle(client.take(), "reject", requeue=False)
    found = (await client.get()).json()
    assert (found["state"], found["reason"], found["queue"], found["reply"]) == ("failed", "rejected", "q", None)
    assert [(each["queue"], each["reason"], each["count"]) for each in found["x-death"]] == [("q", "rejected", 1)]


async def test_position_counts_the_messages_before_the_job() -> None:
    client = Client()
    for number in range(3):
        await client.post(id_=str(number))
    assert [(await client.get(str(number))).json()["position"] for number in range(3)] == [1, 2, 3]
    client.settle(client.take())
    assert (await client.get("2")).json()["position"] == 2


async def test_position_is_absent_behind_many_messages() -> None:
    client = Client()
    for _ in range(1001):
        client.worker.publish("q", b"")
    await client.post()
    found = (await client.get()).json()
    assert found["state"] == "queued"
    assert "position" not in found
    client.settle(client.take())
    assert (await client.get()).json()["position"] == 1001


async def test_job_that_has_aged_out_is_not_found() -> None:
    client = Client()
    await client.post(properties={"headers": {"x-job-ttl": 5}})
    client.settle(client.take())
    client.api.clock.advance(4)
    assert (await client.get()).status_code == 200
    client.api.clock.advance(1)
    assert (await client.get()).status_code == 404


async def test_done_job_that_is_forgotten_during_the_sync_is_shown_with_its_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client()

    async def end(broker: Broker) -> None:
        got = client.take()
        client.reply(got, b"result")
        client.settle(got)

    async def age(broker: Broker) -> None:
        client.api.clock.advance(5)

    monkeypatch.setattr(routes, "all_synced", end)
    assert (await client.post(properties={"headers": {"x-job-ttl": 5}})).json()["state"] == "queued"
    monkeypatch.setattr(routes, "all_synced", age)
    found = (await client.get()).json()
    assert (found["state"], found["reply"]["payload"]) == ("done", "result")
    assert (await client.get()).status_code == 404


async def test_jobs_are_listed_without_replies() -> None:
    client = Client()
    await client.post(id_="2")
    await client.post(id_="1")
    for path in "jobs", "jobs/%2F":
        rows = (await client.api.get(path)).json()
        assert [(each["id"], each["state"]) for each in rows] == [("1", "queued"), ("2", "queued")]
        assert "reply" not in rows[0]


# --- long poll --------------------------------------------------------------------------------------------------------


async def waiting(client: Client, seconds: int) -> "asyncio.Task[httpx.Response]":
    task = asyncio.create_task(client.get(query=f"?wait={seconds}"))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_long_poll_is_answered_at_the_end_of_the_job() -> None:
    client = Client()
    await client.post()
    task = await waiting(client, 20)
    got = client.take()
    client.reply(got, b"result")
    client.settle(got)
    assert (await task).json()["reply"]["payload"] == "result"


async def test_long_poll_is_answered_when_the_time_is_over() -> None:
    client = Client()
    await client.post()
    task = await waiting(client, 2)
    client.api.clock.advance(2000)
    answer = await task
    assert (answer.json()["state"], answer.headers["retry-after"]) == ("queued", "1")


async def test_long_poll_of_a_job_that_is_forgotten_is_not_found() -> None:
    client = Client()
    await client.post()
    task = await waiting(client, 2)
    client.api.broker.delete_vhost("/")
    assert (await task).status_code == 404


@pytest.mark.parametrize("wait", ["21", "-1", "1.5", "x", "", "100"])
async def test_other_waits_are_refused(wait: str) -> None:
    client = Client()
    await client.post()
    answer = await client.get(query=f"?wait={wait}")
    assert answer.status_code == 400
    assert answer.json()["reason"] == f'wait = "{wait}": this must be a whole number of seconds from 0 to 20'


# --- cancel -----------------------------------------------------------------------------------------------------------


async def test_queued_job_is_cancelled() -> None:
    client = Client()
    await client.post()
    assert (await client.api.delete("jobs/%2F/1")).status_code == 204
    found = (await client.get()).json()
    assert (found["state"], found["reason"]) == ("failed", "cancelled")
    assert client.worker.call(1, "basic.get", queue="q").name == "basic.get-empty"


async def test_job_of_a_parked_group_names_it_and_is_cancelled() -> None:
    client = Client(**{"x-group-header": longstr("key"), "x-group-on-dead": longstr("park")})
    for id_ in "1", "2":
        await client.post(id_=id_, properties={"headers": {"key": "A"}})
    client.settle(client.take(), "reject", requeue=False)
    listed = (await client.api.get("jobs/%2F")).json()
    group = {"queue": "q", "key": "A", "key_type": "string", "state": "parked"}
    assert [(row["state"], row["group"]) for row in listed] == [("parked", group), ("queued", group)]
    assert "position" not in (await client.get("2")).json()
    assert (await client.api.delete("jobs/%2F/1")).status_code == 204
    found = (await client.get("2")).json()
    assert (found["state"], "position" in found, "group" in found) == ("queued", False, False)


async def test_job_whose_message_was_settled_without_extensions_ends_when_it_is_cancelled() -> None:
    client = Client()
    await client.post()
    vhost = client.api.broker.vhosts["/"]
    job = vhost.jobs.find(b"1", "guest")
    # As a job is recovered whose message was settled before.
    job.places = [job.places[0]._replace(sequence=99)]
    assert (await client.get()).json()["state"] == "queued"
    assert (await client.api.delete("jobs/%2F/1")).status_code == 204
    job = (await client.get()).json()
    assert (job["state"], job["reason"]) == ("failed", "lost")


async def test_running_job_cannot_be_cancelled() -> None:
    client = Client()
    await client.post()
    client.take()
    answer = await client.api.delete("jobs/%2F/1")
    assert answer.status_code == 409
    reason = "the job is running; only a job that waits in queues can be cancelled; force=true forgets any job"
    assert answer.json()["reason"] == reason


async def test_running_job_is_forgotten_by_force_and_its_message_stays() -> None:
    client = Client()
    await client.post()
    got = client.take()
    assert (await client.api.delete("jobs/%2F/1?force=yes")).status_code == 400
    assert (await client.api.delete("jobs/%2F/1?force=false")).status_code == 409
    assert (await client.api.delete("jobs/%2F/1?force=true")).status_code == 204
    assert (await client.get()).status_code == 404
    client.settle(got, "reject", requeue=True)
    client.settle(client.take())
    assert (await client.get()).status_code == 404


async def test_job_that_an_exchange_holds_back_is_forgotten_by_force() -> None:
    client = Client()
    arguments = {"x-delayed-type": longstr("direct")}
    client.worker.call(1, "exchange.declare", exchange="late", exchange_type="x-delayed-message", arguments=arguments)
    client.worker.call(1, "queue.bind", queue="q", exchange="late", routing_key="q")
    await client.post("late", properties={"headers": {"x-delay": 1000}})
    assert (await client.api.delete("jobs/%2F/1")).status_code == 409
    assert (await client.api.delete("jobs/%2F/1?force=true")).status_code == 204
    client.api.broker.clock.advance(1000)
    client.settle(client.take())
    assert (await client.get()).status_code == 404
    assert client.api.broker.vhosts["/"].jobs.stored_count() == 0


async def test_force_needs_the_same_permission_as_a_cancellation() -> None:
    client = Client()
    await client.post()
    client.api.broker.users.add_user("other", "p", ("management",))
    client.api.broker.users.set_permissions("other", "/", ".*", ".*", "")
    answer = await client.api.delete("jobs/%2F/1?force=true", auth=("other", "p"))
    assert answer.status_code == 401


async def test_job_with_a_running_copy_keeps_its_other_copies() -> None:
    client = Client()
    client.worker.declare("q2")
    for queue in "q", "q2":
        client.worker.call(1, "queue.bind", queue=queue, exchange="amq.fanout", routing_key="")
    await client.post("amq.fanout")
    client.take()
    assert (await client.api.delete("jobs/%2F/1")).status_code == 409
    assert client.worker.call(1, "basic.get", queue="q2").name == "basic.get-ok"


async def test_deleted_job_after_its_end_is_forgotten() -> None:
    client = Client()
    await client.post()
    client.settle(client.take())
    assert (await client.api.delete("jobs/%2F/1")).status_code == 204
    assert (await client.get()).status_code == 404
    assert (await client.api.delete("jobs/%2F/1")).status_code == 404


# --- permissions ------------------------------------------------------------------------------------------------------


async def test_publishing_needs_the_permission_to_write_to_the_exchange() -> None:
    client = Client()
    other = client.api.user("other")
    client.api.broker.users.set_permissions("other", "/", "", "", ".*")
    assert (await client.post(auth=other)).status_code == 401
    client.api.broker.users.set_permissions("other", "/", "", "^amq.default$", "")
    assert (await client.post(auth=other)).status_code == 202


async def test_job_is_visible_to_its_user_and_to_those_who_may_read_its_queue() -> None:
    client = Client()
    own = client.api.user("own")
    other = client.api.user("other")
    client.api.broker.users.set_permissions("own", "/", "", "^amq.default$", "")
    client.api.broker.users.set_permissions("other", "/", "", "", "^other$")
    await client.post(auth=own)
    assert (await client.get(auth=own)).status_code == 200
    assert (await client.get(auth=other)).status_code == 401
    assert (await client.api.delete("jobs/%2F/1", auth=other)).status_code == 401
    assert (await client.api.get("jobs", auth=other)).json() == []
    client.api.broker.users.set_permissions("other", "/", "", "", "^q$")
    assert (await client.get(auth=other)).status_code == 200
    assert len((await client.api.get("jobs/%2F", auth=other)).json()) == 1
    client.settle(client.take())
    assert (await client.get(auth=other)).status_code == 200


async def test_user_with_its_share_of_jobs_is_asked_to_send_again_and_others_are_not() -> None:
    client = Client(Config(bounds=BOUNDS._replace(jobs=4)))
    client.api.user("other", vhosts=("/",))
    for id_ in "1", "2":
        assert (await client.post(id_=id_)).status_code == 202
    answer = await client.post(id_="3")
    assert (answer.status_code, answer.json()["error"]) == (503, "jobs_full")
    assert (await client.post(id_="3", auth=("other", "p"))).status_code == 202

"""Ids and keys that name state that several clients share. docs/security.md has the table.

"mallory" may publish to the default exchange, and owns the queues whose names begin with "mine". The others belong to
"victim", and mallory may not read them.
"""

from typing import Any

import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire
from tests.management.api import Api

FOREVER = 300 * 24 * 60 * 60 * 1000


class Scene:
    """A broker with both users. Queues are declared by the victim."""

    def __init__(self, **arguments: Field) -> None:
        """arguments: of the queue "q"."""
        self.api = Api()
        for name in ("victim", "mallory"):
            self.api.user(name)
        users = self.api.broker.users
        users.set_permissions("victim", "/", ".*", ".*", ".*")
        users.set_permissions("mallory", "/", "^mine", "^(amq.default|mine.*)$", "^mine")
        self.victim = Wire(self.api.broker).log_in("victim", "p")
        self.mallory = Wire(self.api.broker).log_in("mallory", "p")
        for queue in ("done", "dead"):
            self.victim.declare(queue)
        self.victim.declare("q", durable=True, arguments=arguments)
        self.mallory.declare("mine")

    def send(self, wire: Wire, queue: str, body: bytes = b"x", **properties: Any) -> str:
        """Publish a message; return the error text, empty if it is accepted."""
        wire.publish(queue, body, **properties)
        answers = wire.receive()
        if not answers:
            return ""
        wire.send(1, "channel.close-ok")
        wire.call(1, "channel.open")
        text: str = answers[0].arguments["reply_text"]
        return text

    def member(self, wire: Wire, queue: str, id_: str, **headers: Field) -> str:
        """Publish a member of the batch "b" with this message id."""
        table = {"x-batch-id": longstr("b"), **{f"x-batch-{name}": value for name, value in headers.items()}}
        return self.send(wire, queue, message_id=id_.encode(), headers=table)

    def get(self, queue: str, wire: Wire | None = None) -> Received:
        got = (wire or self.victim).call(1, "basic.get", queue=queue)
        assert got.name == "basic.get-ok", got
        return got

    def ack(self, queue: str, wire: Wire | None = None) -> bytes:
        """Get and acknowledge a message; return its body."""
        got = self.get(queue, wire)
        return self.settle(got, "ack", wire)

    def reject(self, queue: str, wire: Wire | None = None) -> bytes:
        return self.settle(self.get(queue, wire), "reject", wire, requeue=False)

    def settle(self, got: Received, how: str, wire: Wire | None = None, **arguments: Any) -> bytes:
        wire = wire or self.victim
        wire.send(1, f"basic.{how}", delivery_tag=got.arguments["delivery_tag"], **arguments)
        assert wire.receive() == []
        assert got.body is not None
        return got.body

    def events(self, queue: str, wire: Wire | None = None) -> list[tuple[bytes, int, int]]:
        """Return the event messages in a queue: event, number of members that succeeded, and that failed."""
        self.api.clock.advance(1)
        found = []
        for _ in range((wire or self.victim).depth(queue)):
            headers = (self.get(queue, wire).properties or {})["headers"]
            found.append((headers["x-batch-event"].value, headers["x-batch-ok"].value, headers["x-batch-failed"].value))
        return found


def size(number: int) -> Field:
    return Field("l", number)


# --- batches ----------------------------------------------------------------------------------------------------------

TO_DONE = {"routing-key": longstr("done")}
TO_MINE = {"routing-key": longstr("mine")}
MAY_NOT = "ACCESS_REFUSED - write access to exchange"


def test_first_member_decides_where_the_events_of_a_batch_go() -> None:
    scene = Scene()
    assert scene.member(scene.mallory, "mine", "0", **TO_MINE, events=longstr("complete,death")) == ""
    assert "contradicts 'mine' of an earlier member" in scene.member(scene.victim, "q", "1", **TO_DONE)
    assert scene.member(scene.victim, "q", "1", size=size(2)) == ""
    scene.ack("mine", scene.mallory)
    scene.reject("q")
    assert scene.events("mine", scene.mallory) == [(b"death", 1, 1), (b"complete", 1, 1)]


def test_later_member_does_not_change_where_the_events_of_a_batch_go() -> None:
    scene = Scene()
    assert scene.member(scene.victim, "q", "1", **TO_DONE, size=size(1)) == ""
    assert "contradicts 'done' of an earlier member" in scene.member(scene.mallory, "mine", "0", **TO_MINE)
    assert scene.member(scene.mallory, "mine", "0", exchange=longstr("amq.topic"))[: len(MAY_NOT)] == MAY_NOT
    scene.ack("q")
    assert scene.events("done") == [(b"complete", 1, 0)]


def test_batch_sends_events_only_where_each_of_its_publishers_may_publish() -> None:
    scene = Scene()
    scene.victim.call(1, "exchange.declare", exchange="events", exchange_type="fanout")
    assert scene.member(scene.victim, "q", "1", exchange=longstr("events")) == ""
    assert scene.member(scene.mallory, "mine", "0")[: len(MAY_NOT)] == MAY_NOT


def test_members_of_another_user_count_in_a_batch() -> None:
    scene = Scene()
    scene.member(scene.victim, "q", "1", **TO_DONE, size=size(1))
    scene.member(scene.victim, "q", "2", size=size(2))
    # Under the id of a member, a copy of it: it can make the member fail.
    scene.member(scene.mallory, "mine", "1")
    scene.reject("mine", scene.mallory)
    # With a larger size, the batch waits for members that never come.
    scene.member(scene.mallory, "nowhere", "3", size=size(10))
    scene.ack("q")
    scene.ack("q")
    batches = scene.api.broker.vhosts["/"].batches
    assert batches is not None
    (batch,) = batches.all()
    assert (batch.ok, batch.failed, batch.terms.size, batch.state) == (1, 2, 10, "open")


def test_member_of_another_user_can_complete_a_batch() -> None:
    scene = Scene()
    scene.member(scene.victim, "q", "1", **TO_DONE, size=size(2))
    scene.member(scene.mallory, "mine", "2")
    scene.ack("mine", scene.mallory)
    scene.ack("q")
    assert scene.events("done") == [(b"complete", 2, 0)]
    # The member whose id was used is still delivered.
    scene.member(scene.victim, "q", "2")
    assert scene.ack("q") == b"x"


async def test_batch_is_hidden_from_users_who_may_not_read_its_event_messages() -> None:
    scene = Scene()
    scene.member(scene.victim, "q", "secret", **TO_DONE, size=size(1))
    scene.reject("q")
    assert (await scene.api.get("batches", auth=("mallory", "p"))).json() == []
    assert (await scene.api.get("batches/%2F/b", auth=("mallory", "p"))).status_code == 401


# --- deduplication ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_whoever_may_publish_to_a_deduplicating_queue_can_use_up_an_id(kind: str) -> None:
    arguments = {"x-message-deduplication": Field("t", True), "x-cache-ttl": Field("l", 1000)}
    scene = Scene(**arguments, **{"x-queue-type": longstr(kind)})
    order = {"x-deduplication-header": longstr("order 17")}
    scene.send(scene.mallory, "q", b"forged", headers={**order, "x-cache-ttl": Field("l", FOREVER)})
    assert scene.ack("q") == b"forged"
    scene.api.clock.advance(24 * 60 * 60 * 1000)
    assert scene.send(scene.victim, "q", b"order", headers=order) == ""
    assert scene.victim.depth("q") == 0


def test_id_in_one_deduplicating_queue_has_no_effect_in_another() -> None:
    arguments = {"x-message-deduplication": Field("t", True)}
    scene = Scene(**arguments)
    scene.mallory.declare("mine-too", arguments=arguments)
    order = {"x-deduplication-header": longstr("order 17")}
    scene.send(scene.mallory, "mine-too", b"forged", headers=order)
    scene.send(scene.victim, "q", b"order", headers=order)
    assert scene.ack("q") == b"order"


def test_ids_of_a_deduplicating_exchange_are_used_up_only_with_permission_to_write() -> None:
    scene = Scene()
    deduplication = {"x-message-deduplication": Field("t", True)}
    scene.victim.call(1, "exchange.declare", exchange="x", exchange_type="fanout", arguments=deduplication)
    scene.victim.call(1, "queue.bind", queue="q", exchange="x", routing_key="")
    order = {"x-deduplication-header": longstr("order 17")}
    scene.mallory.publish("", b"forged", "x", headers=order)
    (refused,) = scene.mallory.receive()
    assert refused.arguments["reply_text"][: len(MAY_NOT)] == MAY_NOT
    scene.victim.publish("", b"order", "x", headers=order)
    assert scene.ack("q") == b"order"


# --- message groups ---------------------------------------------------------------------------------------------------

TO_DEAD = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
KEY = {"customer": longstr("A")}


@pytest.mark.parametrize(("on_dead", "state"), [("park", "parked"), ("follow", "closed")])
async def test_whoever_may_publish_to_a_queue_can_stop_its_groups(on_dead: str, state: str) -> None:
    groups = {"x-group-header": longstr("customer"), "x-group-on-dead": longstr(on_dead)}
    scene = Scene(**groups, **TO_DEAD)
    scene.send(scene.mallory, "q", b"poison", headers=KEY)
    scene.send(scene.victim, "q", b"order", headers=KEY)
    scene.send(scene.victim, "q", b"other", headers={"customer": longstr("B")})
    scene.reject("q")  # by a worker that cannot handle it
    assert scene.ack("q") == b"other"
    assert scene.victim.call(1, "basic.get", queue="q").name == "basic.get-empty"
    url = "queues/%2F/q/groups"
    assert [group["state"] for group in (await scene.api.get(url, auth=("victim", "p"))).json()] == [state]
    assert (await scene.api.get(url, auth=("mallory", "p"))).status_code == 401
    for action in ("redrive", "discard"):
        assert (await scene.api.post(f"{url}/{action}", {"key": "A"}, auth=("mallory", "p"))).status_code == 401
    assert (await scene.api.post(f"{url}/discard", {"key": "A"}, auth=("victim", "p"))).status_code == 200
    assert scene.ack("q") == b"order"


def test_whoever_may_publish_to_a_queue_with_versions_can_supersede_later_messages() -> None:
    scene = Scene(**{"x-group-header": longstr("customer"), "x-group-version-header": longstr("version")}, **TO_DEAD)
    scene.send(scene.mallory, "q", b"forged", headers={**KEY, "version": Field("l", 2**62)})
    scene.ack("q")
    scene.send(scene.victim, "q", b"order", headers={**KEY, "version": Field("l", 1)})
    assert scene.victim.call(1, "basic.get", queue="q").name == "basic.get-empty"
    assert scene.ack("dead") == b"order"


def test_version_counts_only_after_its_message_was_acknowledged() -> None:
    scene = Scene(**{"x-group-header": longstr("customer"), "x-group-version-header": longstr("version")})
    scene.send(scene.mallory, "q", b"forged", headers={**KEY, "version": Field("l", 2**62)})
    scene.reject("q")
    scene.send(scene.victim, "q", b"order", headers={**KEY, "version": Field("l", 1)})
    assert scene.ack("q") == b"order"


def test_published_message_does_not_pass_as_a_dead_letter_of_a_group() -> None:
    groups = {"x-group-header": longstr("customer"), "x-group-on-dead": longstr("follow")}
    scene = Scene(**groups, **TO_DEAD)
    scene.send(scene.victim, "q", b"order", headers=KEY)
    scene.reject("q")
    letter = (scene.get("dead").properties or {})["headers"]
    scene.victim.call(1, "basic.recover", requeue=True)
    scene.send(scene.mallory, "dead", b"forged", headers=letter)
    vhost = scene.api.broker.vhosts["/"]
    queue: Any = vhost.queues["q"]
    (group,) = queue.line.groups.stopped()
    dead: Any = vhost.queues["dead"]
    entries = [entry for _, entry in dead.ready_following(0, 10)]
    assert [(entry.message.body, queue.is_letter_of(group, entry.message)) for entry in entries] == [
        (b"order", True),
        (b"forged", False),
    ]


# --- last values ------------------------------------------------------------------------------------------------------


def test_whoever_may_publish_to_a_queue_with_last_values_can_replace_a_waiting_message() -> None:
    scene = Scene(**{"x-last-value-key": longstr("share")})
    share = {"share": longstr("A")}
    scene.send(scene.victim, "q", b"10", headers=share)
    scene.send(scene.mallory, "q", b"99", headers=share)
    assert scene.ack("q") == b"99"
    assert scene.victim.depth("q") == 0


# --- offsets of streams -----------------------------------------------------------------------------------------------


async def test_whoever_may_read_a_stream_can_move_and_remove_the_offset_of_a_consumer_tag() -> None:
    scene = Scene(**{"x-queue-type": longstr("stream")})
    for body in (b"0", b"1", b"2"):
        scene.send(scene.victim, "q", body)
    tracked = {"x-stream-automatic-offset-tracking": Field("t", True), "x-stream-offset": longstr("first")}

    def consume(wire: Wire, acks: int) -> list[bytes | None]:
        wire.call(1, "basic.qos", prefetch_count=10)
        got = [each for each in wire.consume("q", "app", arguments=tracked) if each.name == "basic.deliver"]
        if acks:
            wire.send(1, "basic.ack", delivery_tag=got[acks - 1].arguments["delivery_tag"], multiple=True)
        wire.call(1, "basic.cancel", consumer_tag="app")
        return [each.body for each in got]

    assert consume(scene.victim, 1) == [b"0", b"1", b"2"]
    url = "queues/%2F/q/offsets"
    (shown,) = (await scene.api.get(url)).json()
    assert (shown["consumer"], shown["offset"]) == ("app", 1)
    assert (await scene.api.get(url, auth=("mallory", "p"))).status_code == 401
    assert (await scene.api.delete(f"{url}/app", auth=("mallory", "p"))).status_code == 401
    refused = scene.mallory.call(1, "basic.consume", queue="q", consumer_tag="app", arguments=tracked)
    assert refused.arguments["reply_code"] == 403

    scene.api.broker.users.set_permissions("mallory", "/", "", "", "^q$")
    scene.mallory.send(1, "channel.close-ok")
    scene.mallory.call(1, "channel.open")
    assert consume(scene.mallory, 2) == [b"1", b"2"]
    assert consume(scene.victim, 0) == []
    assert (await scene.api.delete(f"{url}/app", auth=("mallory", "p"))).status_code == 204
    assert consume(scene.victim, 0) == [b"0", b"1", b"2"]


# --- names of dead letter queues --------------------------------------------------------------------------------------


async def test_whoever_may_declare_an_automatic_dead_letter_queue_gets_the_dead_letters() -> None:
    scene = Scene()
    policy = {"pattern": "^q$", "apply-to": "queues", "definition": {"auto-dead-letter-queue": "{queue}.dlq"}}
    assert (await scene.api.put("policies/%2F/dead", policy)).status_code == 201
    refused = scene.mallory.call(1, "queue.declare", queue="q.dlq")
    assert refused.arguments["reply_code"] == 403
    scene.api.broker.users.set_permissions("mallory", "/", "dlq$", "", "dlq$")
    scene.mallory.send(1, "channel.close-ok")
    scene.mallory.call(1, "channel.open")
    scene.mallory.declare("q.dlq")
    scene.send(scene.victim, "q", b"secret")
    scene.reject("q")
    scene.api.clock.advance(1)
    assert scene.ack("q.dlq", scene.mallory) == b"secret"

import re

import pytest

from amqpbroker.broker.policies.auto_dead_letters import dead_letter_queue, form_of, has_form, is_form
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import DEFAULT_COMPAT
from tests.broker.death_tables import deaths_of
from tests.broker.durability import Node
from tests.broker.queueing import clock_of, declare, get, message, publish, ready, table
from tests.broker.redrive.driving import kill, redrive
from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles

KEY = "auto-dead-letter-queue"


def set_policy(vhost: Vhost, form: str = "{queue}.dlq", pattern: str = ".*", name: str = "p", **more: object) -> None:
    definition = {KEY: form, **{key.replace("_", "-"): value for key, value in more.items()}}
    vhost.policies.put(Policy("/", name, pattern, definition, "queues"))


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["", "{queue}.dlq", "DLQ.{queue}", "dead letters", "a{queue}b", "x" * 255])
def test_valid_forms(form: str) -> None:
    assert is_form(form)


@pytest.mark.parametrize(
    "form",
    [
        "{queue}",
        "amq.{queue}",
        "{queue}\n",
        "{queue}\r.dlq",
        "dead\r\nletters",
        "{queue}{queue}.dlq",
        "x" * 256,
        None,
        True,
        1,
        ["a"],
    ],
)
def test_invalid_forms(form: object) -> None:
    assert not is_form(form)


@pytest.mark.parametrize("form", ["{foo}", "{Queue}.dlq", "{queue.dlq", "queue}", "{queue}.{vhost}", "{{queue}}", "{}"])
def test_unknown_placeholder_is_refused_with_what_is_allowed(vhost: Vhost, form: str) -> None:
    allowed = "Must be a name in which {queue} may stand once for the name of the queue, without other braces or line "
    with pytest.raises(ValueError, match=re.escape(form) + ".*" + re.escape(allowed)):
        set_policy(vhost, form)


@pytest.mark.parametrize(
    ("name", "form", "fits"),
    [
        ("q.dlq", "{queue}.dlq", True),
        ("q", "{queue}.dlq", False),
        (".dlq", "{queue}.dlq", False),
        ("DLQ.q", "DLQ.{queue}", True),
        ("dead", "dead", True),
        ("dead.dlq", "dead", False),
    ],
)
def test_form_of_a_name(name: str, form: str, fits: bool) -> None:
    assert has_form(name, form) == fits


def test_name_of_a_dead_letter_queue() -> None:
    assert dead_letter_queue("q", "DLQ.{queue}!") == "DLQ.q!"
    assert dead_letter_queue("q" * 251, "{queue}.dlq") == "q" * 251 + ".dlq"
    assert dead_letter_queue("q" * 252, "{queue}.dlq") is None


@pytest.mark.parametrize(("name", "form"), [("q", "{queue}\n.dlq"), ("q\r", "{queue}.dlq")])
def test_no_dead_letter_queue_has_a_name_that_clients_cannot_send(name: str, form: str) -> None:
    """An earlier version has stored such policies, and imported such queues."""
    assert dead_letter_queue(name, form) is None


def test_empty_form_is_the_usual_one_and_without_extensions_there_is_none() -> None:
    assert form_of({KEY: ""}, DEFAULT_COMPAT) == "{queue}.dlq"
    assert form_of({}, DEFAULT_COMPAT) == ""
    assert form_of({KEY: ""}, DEFAULT_COMPAT._replace(extensions=False)) == ""


def test_refusal_of_an_invalid_form_says_what_to_write(vhost: Vhost) -> None:
    with pytest.raises(ValueError, match=r"amq\.x\W+ is not a valid form of the name of a dead letter queue\. Must be"):
        set_policy(vhost, "amq.x")


# --- behaviour --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{}, {"queue_type": "quorum"}, {"max_priority": 3}])
def test_first_dead_letter_creates_the_queue(vhost: Vhost, kind: dict[str, object]) -> None:
    set_policy(vhost)
    queue = declare(vhost, **kind)
    publish(queue, b"1")
    assert "q.dlq" not in vhost.queues
    queue.reject([get(queue)])
    kill(queue, b"2")
    dlq = vhost.queues["q.dlq"]
    assert [entry.message.body for entry in dlq.ready_entries()] == [b"1", b"2"]
    assert (dlq.kind, dlq.durable) == (queue.kind, queue.durable)
    [death] = deaths_of(get(dlq).message)
    assert (death.queue, death.reason) == ("q", "rejected")


def test_durability_is_that_of_the_queue(vhost: Vhost) -> None:
    set_policy(vhost)
    queue = vhost.declare_queue("q", True, False, False, {})
    kill(queue, b"1")
    assert vhost.queues["q.dlq"].durable


def test_messages_die_for_any_reason(vhost: Vhost) -> None:
    set_policy(vhost, max_length=1)
    queue = declare(vhost, message_ttl=100)
    publish(queue, b"1", b"2")
    clock_of(vhost).advance(100)
    dlq = vhost.queues["q.dlq"]
    assert [deaths_of(entry.message)[0].reason for entry in dlq.ready_entries()] == ["maxlen", "expired"]


def test_queue_with_a_dead_letter_exchange_uses_that(vhost: Vhost) -> None:
    set_policy(vhost)
    declare(vhost, "grave")
    queue = declare(vhost, dead_letter_exchange="", dead_letter_routing_key="grave")
    kill(queue, b"1")
    assert vhost.queues["grave"].ready_count == 1
    assert "q.dlq" not in vhost.queues


def test_dead_letter_queue_is_exempt_from_the_policy(vhost: Vhost) -> None:
    set_policy(vhost, max_length=1, delivery_limit=1)
    queue = declare(vhost, queue_type="quorum")
    kill(queue, b"1", b"2", b"3")
    dlq = vhost.queues["q.dlq"]
    assert (dlq.ready_count, dlq.policy) == (3, None)
    for _ in range(30):
        dlq.requeue([get(dlq)])
    dlq.reject([get(dlq)])
    assert dlq.ready_count == 2
    assert set(vhost.queues) == {"q", "q.dlq"}


def test_several_queues_may_share_one(vhost: Vhost) -> None:
    set_policy(vhost, "dead")
    one, two = declare(vhost, "one"), declare(vhost, "two")
    kill(one, b"1")
    kill(two, b"2")
    redrive(vhost.queues["dead"])
    assert (ready(one), ready(two)) == ([b"1"], [b"2"])


def test_exclusive_queue_has_none(vhost: Vhost) -> None:
    set_policy(vhost)
    kill(declare(vhost, session=object()), b"1")
    assert set(vhost.queues) == {"q"}


def test_policy_takes_effect_while_a_queue_exists(vhost: Vhost) -> None:
    queue = declare(vhost)
    kill(queue, b"1")
    set_policy(vhost)
    kill(queue, b"2")
    assert vhost.queues["q.dlq"].ready_count == 1
    vhost.policies.delete("/", "p")
    kill(queue, b"3")
    assert vhost.queues["q.dlq"].ready_count == 1


def test_deleted_dead_letter_queue_is_created_again(vhost: Vhost) -> None:
    set_policy(vhost)
    queue = declare(vhost)
    kill(queue, b"1")
    vhost.delete_queue(vhost.queues["q.dlq"])
    kill(queue, b"2")
    assert vhost.queues["q.dlq"].ready_count == 1


def test_dead_letters_are_dropped_when_the_vhost_may_have_no_more_queues(
    vhost: Vhost, caplog: pytest.LogCaptureFixture
) -> None:
    set_policy(vhost)
    vhost.limits.replace_vhost("/", {"max-queues": 1})
    queue = declare(vhost)
    kill(queue, b"1", b"2")
    assert set(vhost.queues) == {"q"}
    assert queue.ready_count == queue.unacked_count == 0
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith("dead letters of queue 'q' in vhost '/' are dropped, because queue 'q.dlq' cannot be")
    clock_of(vhost).advance(60_000)
    kill(queue, b"3")
    assert len(caplog.records) == 2


def test_name_that_would_be_too_long_is_logged(vhost: Vhost, caplog: pytest.LogCaptureFixture) -> None:
    set_policy(vhost)
    queue = declare(vhost, "q" * 253)
    assert "has no dead letter queue: its name would be too long" in caplog.text
    assert queue.publish(message(b"1"))
    queue.reject([get(queue)])
    assert len(vhost.queues) == 1


def test_messages_that_expire_while_the_broker_is_down_create_the_queue() -> None:
    files, definitions = FaultyFiles(), FaultyDefinitions()
    first = Node(files, definitions, 1_000_000, 20_000)
    vhost = first.broker.vhosts["/"]
    set_policy(vhost)
    vhost.declare_queue("q", True, False, False, table(message_ttl=1000))
    letter = message(b"1")
    letter.persistent = True
    vhost.publish_to("q", letter)
    first.broker.sync()
    first.disk.step()
    definitions.sync()
    files.kill()
    for _ in range(2):
        again = Node(files, definitions.killed(), 2_000_000, 20_000)
        vhost = again.broker.vhosts["/"]
        assert set(vhost.queues) == {"q", "q.dlq"}
        [dead] = vhost.queues["q.dlq"].ready_entries()
        assert deaths_of(dead.message)[0].reason == "expired"
        again.broker.sync()
        again.disk.step()
        again.disk.step()
        definitions = again.broker.definitions
        definitions.sync()
        files.kill()

import pika
import pytest

from amqpbroker.testing import Broker, Redriven, Vhost

DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q.dlq"}


@pytest.fixture(scope="module")
def b():
    with Broker() as broker:
        yield broker


@pytest.fixture
def channel(b):
    b.add_vhost("v")
    with pika.BlockingConnection(pika.URLParameters(b.url_of("v"))) as connection:
        channel = connection.channel()
        channel.queue_declare("q.dlq")
        channel.queue_declare("q", arguments=DEAD)
        yield channel
    b.delete_vhost("v")


def kill(channel, *bodies, **headers):
    for body in bodies:
        channel.basic_publish("", "q", body, pika.BasicProperties(headers=headers))
        method, _, _ = channel.basic_get("q")
        channel.basic_reject(method.delivery_tag, requeue=False)


@pytest.mark.parametrize("frozen", [False, True])
def test_dead_letters_are_back_when_the_call_returns(b, channel, frozen):
    kill(channel, *[b"%d" % number for number in range(250)])
    if frozen:
        b.clock.freeze()
    assert b.redrive("q.dlq") == Redriven(moved=250, failed=0, skipped=0, last_failure="")
    b.clock.resume()
    assert [message.body for message in b.messages("q")] == [b"%d" % number for number in range(250)]
    assert b.messages("q.dlq") == []


def test_conditions_select_messages(b, channel):
    kill(channel, b"1", tenant="a")
    kill(channel, b"2", b"3", tenant="b")
    v = Vhost(b, "v")
    assert v.redrive("q.dlq", headers={"tenant": "b"}, limit=1).moved == 1
    assert v.redrive("q.dlq", reason="expired").skipped == 2
    assert [message.body for message in v.messages("q.dlq")] == [b"1", b"3"]
    channel.queue_declare("other")
    assert v.redrive("q.dlq", destination="other").moved == 2


def test_messages_that_stay_are_reported(b, channel):
    kill(channel, b"1")
    channel.queue_delete("q")
    assert b.redrive("q.dlq", vhost="v") == Redriven(0, 1, 0, "queue 'q' does not exist")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"limit": 0}, "limit = 0: this must be a whole number from 1 on"),
        ({"destination": 1}, "destination = 1: this must be text"),
        ({"reason": "bogus"}, "reason = 'bogus': this must be one of rejected, expired, maxlen, delivery_limit,"),
        ({"headers": {"a": [1]}}, "headers['a'] = [1]: this must be a str, a number, a bool or None"),
        ({"headers": "a"}, "headers = 'a': this must be a dict of names and values"),
        ({"timeout": -1}, "timeout = -1: this must be a number of seconds"),
    ],
)
def test_wrong_arguments_are_refused(b, channel, arguments, text):
    with pytest.raises(ValueError, match="this must be") as refused:
        b.redrive("q.dlq", **arguments)
    assert str(refused.value).startswith(text)


def test_absent_queue(b):
    with pytest.raises(AssertionError, match="there is no queue 'absent'"):
        b.redrive("absent")


def test_redrive_that_does_not_end_in_time_is_cancelled(b, channel):
    kill(channel, *[b"x"] * 150)
    with pytest.raises(AssertionError, match=r"did not end within 0 seconds: \d+ messages were moved, \d+ are left"):
        b.redrive("q.dlq", timeout=0)
    assert b.redrive("q.dlq").failed == 0

"""Requests and replies: answered requests and reply addresses, however the received data are divided."""

import pytest

from tests.bench.round_trips import REPLY_TO, Replies, requests, whole_delivery
from tests.harness import published

NAME = f"{REPLY_TO}.g1h3FGFtcUBob3N0AAAEbwAAAABl+/=.abc_def-ghi=="


def as_delivered(request, name=NAME):
    """Return a request with the broker's name in place of amq.rabbitmq.reply-to."""
    short, long = (bytes((len(each),)) + each.encode() for each in (REPLY_TO, name))
    assert request.count(short) == 1
    return request.replace(short, long)


def test_each_request_is_answered_with_its_correlation_id():
    made = requests("q", 3)[:5]
    unread, data = Replies().to(b"".join(map(as_delivered, made)))
    assert data.count(NAME.encode()) == 5
    ids = [each[each.index(b"\x24") + 1 :][:36] for each in map(correlated, made)]
    assert len(set(ids)) == 5
    places = [data.index(each) for each in ids]
    assert places == sorted(places)
    assert len(unread) < len(made[-1])


def correlated(request):
    """Return the request from its correlation id on."""
    at = request.index(REPLY_TO.encode())
    return request[at - 1 - 36 - 1 :]


def test_replies_differ_and_go_to_the_requester():
    replies = Replies()
    made = requests("q", 1)
    names = [f"{REPLY_TO}.{letter * 20}.{letter * 10}" for letter in "ab"]
    answers = [replies.to(as_delivered(made[0], name))[1] for name in names]
    assert [name.encode() in data for name, data in zip(names, answers, strict=True)] == [True, True]
    assert names[0].encode() not in answers[1]
    assert answers[0].replace(names[0].encode(), names[1].encode()) != answers[1]


@pytest.mark.parametrize("size", [1, 50, 999])
def test_requests_are_answered_once_however_input_is_split(size):
    data = b"".join(map(as_delivered, requests("q", 1)[:6]))
    replies = Replies()
    unread, answered = b"", b""
    for at in range(0, len(data), size):
        unread, answers = replies.to(unread + data[at : at + size])
        answered += answers
    assert answered == Replies().to(data)[1]


@pytest.mark.parametrize("body", [b"", b"x", b"\xce\3\1" * 100_000])
def test_delivery_is_complete_only_with_its_last_byte(body):
    data = published("q", body, message_id="1")
    assert whole_delivery(data)
    assert not any(whole_delivery(data[:cut]) for cut in (0, 5, 12, len(data) // 2, len(data) - 1))

import asyncio
import contextlib

import pytest

from amqpbroker.server.answers import HURRIED_WRITE_S, WRITE_S, Answers


class Loop:
    """Event loop whose time advances when a test says so."""

    def __init__(self):
        self.now = 0.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, when, callback, *arguments):
        timer = asyncio.TimerHandle(when, callback, arguments, asyncio.get_running_loop())
        self.timers.append(timer)
        return timer

    def create_future(self):
        return asyncio.get_running_loop().create_future()

    def advance(self, seconds):
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.when() <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled():
                timer._run()


class UvLoop(Loop):
    """Event loop that returns handles without a time if the time has already come, as uvloop does."""

    def call_at(self, when, callback, *arguments):
        if when > self.now:
            return super().call_at(when, callback, *arguments)
        return asyncio.get_running_loop().call_soon(callback, *arguments)


class Client:
    """Client that resumes when it is dropped, unless it has before, as the connection does."""

    def __init__(self, answers, size=1):
        self.answers = answers
        self.waiting_bytes = size
        self.dropped = False

    def drop(self):
        self.dropped = True
        self.answers.go_on(self)


@pytest.fixture
async def loop():
    return Loop()


async def test_http_client_that_does_not_read_is_dropped_after_the_timeout(loop):
    answers = Answers(loop)
    client, other = Client(answers), Client(answers)
    answers.stall(client)
    loop.advance(WRITE_S - 1)
    answers.stall(other)
    assert not client.dropped
    loop.advance(1)
    assert (client.dropped, other.dropped) == (True, False)


async def test_write_timeout_restarts_after_the_client_has_read(loop):
    answers = Answers(loop)
    client = Client(answers)
    for _ in range(3):
        answers.stall(client)
        loop.advance(WRITE_S - 1)
        answers.go_on(client)
    loop.advance(WRITE_S)
    assert not client.dropped


async def test_longest_waiting_client_is_dropped_above_the_unread_bytes_limit(loop):
    answers = Answers(loop, most_bytes=100)
    clients = [Client(answers, 40) for _ in range(6)]
    for client in clients:
        answers.stall(client)
    loop.advance(HURRIED_WRITE_S)
    assert [client.dropped for client in clients] == [True, True, True, True, False, False]
    answers.go_on(clients[4])
    last = Client(answers, 60)
    answers.stall(last)
    loop.advance(HURRIED_WRITE_S)
    assert not clients[5].dropped


async def test_reading_clients_are_not_dropped_above_the_unread_bytes_limit(loop):
    answers = Answers(loop, most_bytes=100)
    clients = [Client(answers, 40) for _ in range(6)]
    for _ in range(10):
        for client in clients:
            answers.stall(client)
        loop.advance(HURRIED_WRITE_S * 0.9)
        for client in clients:
            answers.go_on(client)
    assert not any(client.dropped for client in clients)


async def test_single_answer_can_exceed_the_unread_bytes_limit(loop):
    answers = Answers(loop, most_bytes=100)
    first, large = Client(answers, 10), Client(answers, 1000)
    answers.stall(first)
    answers.stall(large)
    loop.advance(HURRIED_WRITE_S)
    assert (first.dropped, large.dropped) == (True, False)


async def test_concurrent_requests_are_limited_and_served_in_order(loop):
    answers = Answers(loop, at_once=2)
    begun = []

    async def request(number):
        await answers.begin()
        begun.append(number)

    tasks = [asyncio.ensure_future(request(number)) for number in range(6)]
    await asyncio.sleep(0)
    assert begun == [0, 1]
    for number in range(2, 6):
        answers.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert begun[-1] == number
    await asyncio.gather(*tasks)
    answers.end()
    answers.end()
    await asyncio.wait_for(answers.begin(), 5)


async def test_cancelled_request_takes_no_place(loop):
    answers = Answers(loop, at_once=1)
    await answers.begin()
    given_up = [asyncio.ensure_future(answers.begin()) for _ in range(3)]
    await asyncio.sleep(0)
    given_up[0].cancel()
    await asyncio.sleep(0)
    answers.end()
    given_up[1].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await given_up[1]
    await asyncio.wait_for(given_up[2], 5)
    answers.end()
    await asyncio.wait_for(answers.begin(), 5)


async def test_client_that_does_not_read_is_dropped_sooner_if_requests_wait(loop):
    answers = Answers(loop, at_once=2)
    await answers.begin()
    await answers.begin()
    early, late = Client(answers), Client(answers)
    answers.stall(early)
    loop.advance(5)
    assert not early.dropped
    waiting = asyncio.ensure_future(answers.begin())
    await asyncio.sleep(0)
    loop.advance(0)
    assert early.dropped
    answers.stall(late)
    loop.advance(HURRIED_WRITE_S)
    assert late.dropped
    answers.end()
    await asyncio.wait_for(waiting, 5)
    slow = Client(answers)
    answers.stall(slow)
    loop.advance(5)
    assert not slow.dropped


async def test_requests_waiting_for_a_timed_out_client_are_served():
    loop = UvLoop()
    answers = Answers(loop, at_once=1)
    client = Client(answers)
    await answers.begin()
    answers.stall(client)
    loop.now += HURRIED_WRITE_S * 2
    waiting = [asyncio.create_task(answers.begin()) for _ in range(3)]
    for task in waiting:
        await asyncio.sleep(0)
        answers.end()
        await asyncio.wait_for(task, 1)
    assert client.dropped


async def test_request_that_fails_while_it_waits_takes_no_place(monkeypatch):
    answers = Answers(Loop(), at_once=1)
    await answers.begin()
    monkeypatch.setattr(answers, "hurry", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await answers.begin()
    answers.end()
    await asyncio.wait_for(answers.begin(), 1)

"""Waiting for other threads in asyncio, trio and neither."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from amqpbroker.testing.aio.waiting import in_thread, running_library, wait_for

LIBRARIES = ["asyncio", "trio"]


@pytest.fixture(params=LIBRARIES)
def run(request):
    """Return a function that runs a coroutine function in one of the libraries."""
    if request.param == "asyncio":
        return lambda function: asyncio.run(function())
    return pytest.importorskip("trio").run


def test_no_async_library_is_found_without_a_running_event_loop():
    assert running_library() is None


def test_library_of_the_running_event_loop_is_found(run):
    async def found():
        return running_library()

    assert run(found) in LIBRARIES
    assert running_library() is None


def test_in_thread_calls_the_function_on_another_thread(run):
    async def call():
        return await in_thread(threading.current_thread)

    assert run(call) is not threading.current_thread()


def test_async_wait_ends_when_another_thread_completes_the_future(run):
    async def wait():
        future = Future()
        timer = threading.Timer(0.01, future.set_result, [1])
        timer.start()
        await wait_for(future, 60)
        timer.join()
        return future.done()

    assert run(wait)


def test_async_wait_ends_for_a_failed_or_cancelled_future(run):
    async def wait():
        failed, cancelled = Future(), Future()
        failed.set_exception(ZeroDivisionError())
        cancelled.cancel()
        await wait_for(failed, 60)
        await wait_for(cancelled, 60)

    run(wait)


def test_async_wait_for_a_future_ends_at_its_time_limit(run):
    future = Future()

    async def wait():
        await wait_for(future, 0.01)

    run(wait)
    assert not future.done()
    future.set_result(None)  # the event loop that waited has ended

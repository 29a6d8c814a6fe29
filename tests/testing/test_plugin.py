"""The pytest plugin, in separate test runs: it needs no configuration, and costs nothing if it is not used."""

import subprocess
import sys

import pika  # noqa: F401 - before the runs within this process, each of which would import it anew
import pytest

from amqpbroker.compat import COMPATS
from amqpbroker.testing import Broker, plugin

pytest_plugins = ["pytester"]

CLIENT = """
import pika
import pytest

def declared(url):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        connection.channel().queue_declare("q", durable=True)
        return connection
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that runs pytest on a test, and returns its output, whose last line has `expected`."""

    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(test, expected, *arguments, **files):
        pytester.makepyfile(test_it=CLIENT + test)
        for name, text in files.items():
            pytester.path.joinpath(name.replace("_", ".")).write_text(text)
        options = ("-q", "-W", "error", "-p", "no:cacheprovider", "-p", plugin.__name__)
        ran = pytester.runpytest_inprocess(*options, *arguments)
        output = "\n".join(ran.outlines + ran.errlines).strip()
        assert expected in output.splitlines()[-1]
        return output

    return run


def test_pytest_finds_the_installed_plugin(pytestconfig):
    assert pytestconfig.pluginmanager.get_plugin("amqpbroker") is plugin


def test_plugin_knows_every_supported_rabbitmq_version():
    assert tuple(COMPATS) == plugin.VERSIONS
    assert Broker(compat=plugin.VERSIONS[-1])


def test_importing_the_plugin_does_not_import_the_broker():
    test = "import sys; import pytest; before = set(sys.modules); import amqpbroker.testing.plugin; "
    test += "print(sorted(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", test], capture_output=True, text=True, check=True)
    assert ran.stdout == "['amqpbroker', 'amqpbroker.testing', 'amqpbroker.testing.plugin']\n"


TESTS = """
brokers = set()

@pytest.mark.parametrize("n", range(4))
def test_each_has_a_vhost(amqp_broker, amqp_vhost, amqp_url, n):
    assert amqp_url == amqp_vhost.url == amqp_broker.url_of(str(amqp_vhost))
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            connection.channel().queue_declare("q", passive=True)
    declared(amqp_url)
    brokers.add(amqp_broker.port)
    amqp_broker.clock.freeze()
"""

LAST = """
def test_last(amqp_broker):
    assert {condition}
"""


def test_tests_share_a_broker_and_have_vhosts_of_their_own(run):
    run(TESTS + LAST.format(condition="len(brokers) == 1 and not amqp_broker.clock.frozen"), "5 passed")


def test_function_scope_gives_each_test_its_own_broker(run):
    last = LAST.format(condition="len(brokers) == 4")
    run(TESTS + last, "5 passed", "--amqp-broker-scope", "function")
    run(TESTS + last, "5 passed", pytest_ini="[pytest]\namqp_broker_scope = function\n")


@pytest.mark.process
def test_plugin_works_under_xdist(run):
    run(TESTS, "4 passed", "-p", "xdist", "-n", "2")


ASYNC = """
import asyncio

async def publish(url):
    # A client on the event loop of the test: it stands still whenever that does.
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue("q")
        await asyncio.sleep(0.05)
        await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")

@{mark}
async def test_waits(async_amqp_vhost, amqp_vhost):
    publishing = asyncio.create_task(publish(async_amqp_vhost.url))
    await async_amqp_vhost.wait_until(queue="q", ready=1, timeout=60)
    (message,) = await async_amqp_vhost.messages("q")
    assert message.body == b"x"
    assert async_amqp_vhost.name == amqp_vhost.name
    await publishing

@{mark}
async def test_is_alone(async_amqp_vhost, async_amqp_broker):
    assert await async_amqp_vhost.queues() == []
    await async_amqp_broker.clock.advance(hours=1)
    await async_amqp_vhost.faults.nack()

@{mark}
async def test_blocking_calls_are_refused(amqp_vhost, async_amqp_broker):
    assert async_amqp_broker.faults.report() == ""
    with pytest.raises(RuntimeError, match="AsyncBroker, or of the fixture async_amqp_vhost"):
        amqp_vhost.wait_until(queue="q")

@{mark}
async def test_fails_at_its_line(async_amqp_vhost):
    await async_amqp_vhost.wait_until(queue="q", timeout=0)
"""


@pytest.mark.parametrize(
    ("plugin_name", "mark", "options"),
    [
        ("pytest_asyncio.plugin", "pytest.mark.asyncio", ("-o", "asyncio_default_fixture_loop_scope=function")),
        ("anyio.pytest_plugin", "pytest.mark.anyio", ()),
    ],
)
def test_async_tests_can_await_the_fixtures(run, plugin_name, mark, options):
    conftest = "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    test = "import aio_pika\n" + ASYNC.replace("{mark}", mark)
    output = run(test, "1 failed, 3 passed", "-p", plugin_name, *options, conftest_py=conftest)
    assert ">       await async_amqp_vhost.wait_until" in output
    assert "after 0 s there is no queue 'q' in vhost 'test_fails_at_its_line-" in output


TRIO = """
from amqpbroker.testing import AsyncBroker, Broker

def publish(url, threads):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"x")

@pytest.mark.anyio
async def test_waits(async_amqp_vhost):
    import anyio

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, publish, async_amqp_vhost.url, None)
        assert (await async_amqp_vhost.wait_until(queue="q", ready=1, timeout=60)).ready == 1
    with anyio.move_on_after(0.01) as scope:
        await async_amqp_vhost.wait_until(queue="never", timeout=60)
    assert scope.cancelled_caught

@pytest.mark.anyio
async def test_starts_and_stops(amqp_broker):
    async with Broker() as b, AsyncBroker() as broker:
        assert b.queues() == await broker.queues() == []
        async with broker.faults.nack():
            await broker.restart()
        with pytest.raises(RuntimeError, match="event loop"):
            b.wait_until(queue="q")
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_fixtures_work_with_each_anyio_backend(run, backend):
    pytest.importorskip(backend)
    conftest = f"import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return {backend!r}\n"
    run(TRIO, "2 passed", "-p", "anyio.pytest_plugin", conftest_py=conftest)


def test_amqp_version_fixture_runs_a_test_with_each_version(run):
    test = """
seen = []

def test_version(amqp_version, amqp_url):
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        assert connection._impl.params and connection._impl._get_write_buffer_size() == 0
        seen.append(connection._impl.server_properties["version"])

def test_plain(amqp_url):
    declared(amqp_url)

def test_other():
    assert [version[:3] for version in seen] == {versions}
"""
    given = test.replace("{versions}", "['4.0', '4.1', '4.2', '4.3']")
    run(given, "6 passed")
    run(test.replace("{versions}", "['4.2']"), "3 passed", "--amqp-version", "4.2")
    run(test.replace("{versions}", "['4.0', '4.3']"), "5 passed", "--amqp-version", "4.0", "--amqp-version", "4.3")


def test_amqp_settings_fixture_configures_the_broker(run):
    conftest = 'import pytest\n\n@pytest.fixture(scope="session")\ndef amqp_settings():\n    return {settings}\n'
    test = "def test_it(amqp_broker):\n    assert amqp_broker.http_url\n"
    run(test, "1 passed", conftest_py=conftest.format(settings='{"management": True}'))
    output = run(test, "1 error", conftest_py=conftest.format(settings='{"compat": "4.1"}'))
    assert "set amqp_version" in output


def test_wrong_plugin_option_is_an_error(run):
    wrong = "amqp_broker_scope = galaxy: this must be one of session"
    run(TESTS, wrong, pytest_ini="[pytest]\namqp_broker_scope = galaxy\n")
    run(TESTS, "amqp_version = 3.9: this must be one of 4.0", pytest_ini="[pytest]\namqp_version = 4.1 3.9\n")


def test_an_open_connection_of_a_failed_test_does_not_affect_others(run):
    test = """
kept = []

def test_fails(amqp_url):
    kept.append(pika.BlockingConnection(pika.URLParameters(amqp_url)))
    assert not kept

def test_next(amqp_url):
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="vhost 'test_fails-"):
        kept[0].process_data_events(60)
    declared(amqp_url)
"""
    run(test, "1 failed, 1 passed")


FAULTS = """
def test_fails(amqp_vhost, amqp_url):
    amqp_vhost.faults.random(7, rate=1, kinds=["reset"])
    declared(amqp_url)

def test_next(amqp_broker, amqp_url):
    assert amqp_broker.faults.report() == ""
    declared(amqp_url)
"""


def test_a_failed_test_reports_its_faults_and_the_next_has_none(run):
    output = run(FAULTS, "1 failed, 1 passed")
    assert "amqpbroker faults" in output
    assert "random(seed=7, rate=1, kinds=('reset',)) reset at frame" in output


@pytest.mark.parametrize("broker", ["amqp_broker", "amqp_vhost"])
def test_traceback_of_a_failed_wait_ends_in_the_line_of_the_test(run, broker):
    calls = ("wait_until(queue='q', timeout=0)", "published(count=1, timeout=0)", "messages('q')")
    test = "".join(f"\ndef test_{n}({broker}):\n    {broker}.{call}\n" for n, call in enumerate(calls))
    output = run(test, "3 failed")
    assert all(f">       {broker}.{call}" in output for call in calls)
    assert "sight.py" not in output
    assert "_run" not in output

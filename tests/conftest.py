import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.effort import effort
from tests.markers import guard, mark
from tests.postgresql import own_server
from tests.process import BrokerProcess

# The time of an example depends more on the load of the machine than on the test, so it has no limit. All runs try the
# same examples, unless they are to search for new ones, so that a failure is caused by the change at hand.
settings.register_profile(
    "tests",
    effort(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tests")

# A shell makes background jobs ignore SIGINT, and their children inherit that; tests end processes by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup makes them ignore the end of their terminal in the same way.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


guard.install()

#: File for the paths of deselected tests. It is removed from the environment, as tests also start pytest.
RECORD_DESELECTED = os.environ.pop("RECORD_DESELECTED", None)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Exclude all loaded and collected objects, which live to the end, from garbage collections."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        if hasattr(gc, "freeze"):  # not on PyPy
            gc.freeze()


def pytest_itemcollected(item):
    mark(item)


def pytest_deselected(items):
    """Record the files of the tests that a pass leaves to a later one: see DESELECTED in tests/passes.py."""
    if RECORD_DESELECTED is not None:
        with Path(RECORD_DESELECTED).open("a") as record:
            record.write("".join(f"{path}\n" for path in {item.path for item in items}))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with guard.during(item):
        return (yield)


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One broker process for the whole run; each test uses names of its own. See tests/process.py."""
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


@pytest.fixture(scope="session")
def postgresql():
    """One PostgreSQL server for the whole run; see tests/postgresql.py."""
    with own_server() as server:
        yield server


@pytest.fixture
def database(postgresql):
    """The URL of an empty database."""
    url = postgresql.new_database()
    yield url
    postgresql.give_back(url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape names that are not UTF-8 in captured logs, which pytest cannot send between its processes."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


#: The slowest tests: they begin first if several processes share the tests, so that none is left for the end.
LONG = (
    "soak",
    "page",
    "simulation",
    "test_oldest.py",
    "crash",
    "docs",
    "examples",
    "fuzz",
    "interop",
    "load",
    "server",
)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        here = Path(__file__).parent
        place = {name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path.relative_to(here).parts[0], len(LONG)))

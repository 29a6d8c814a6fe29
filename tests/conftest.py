import gc
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.effort import effort
from tests.markers import guard, mark
from tests.process import BrokerProcess

# How long an example takes says more about what else the machine is doing than about the test. All runs try the same
# examples, unless they are to search, so that a test that fails says something about the change at hand.
settings.register_profile(
    "tests",
    effort(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tests")

# A shell has what it runs in the background ignore it, and so does what that starts; tests end processes by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


guard.install()


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Keep the garbage collector from going through all that is loaded and collected, which stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        if hasattr(gc, "freeze"):  # not on PyPy
            gc.freeze()


def pytest_itemcollected(item):
    mark(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    with guard.during(item):
        return (yield)


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One broker process for the whole run; tests take names of their own on it. See tests/process.py."""
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What is logged of names that are no UTF-8 cannot be sent from one pytest process to another."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


#: What takes longest: begun first where several processes share the tests, so that not all wait for one at the end.
LONG = ("page", "interop", "docs", "examples", "load", "crash", "fuzz", "server")


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        here = Path(__file__).parent
        items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in LONG)

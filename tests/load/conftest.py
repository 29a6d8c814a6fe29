import sys

import pytest

from tests.load.client import allow_open_files
from tests.process import BrokerProcess


@pytest.fixture
def broker(tmp_path):
    """A broker for a single test, so that its memory reflects this test only."""
    with BrokerProcess(tmp_path) as process:
        yield process


@pytest.fixture(scope="session", autouse=True)
def _many_sockets():
    if not allow_open_files(4096):
        pytest.skip("these tests need 4096 open files: ulimit -n 4096")


@pytest.fixture(scope="session", autouse=True)
def _fair_threads():
    """Shorten the interval of thread switches, for tests that measure beside their own load."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(usual)

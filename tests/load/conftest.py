import sys

import pytest

from tests.load.client import allow_open_files
from tests.process import BrokerProcess


@pytest.fixture
def broker(tmp_path):
    """A broker that only this test has, so that its memory tells what the test did to it."""
    with BrokerProcess(tmp_path) as process:
        yield process


@pytest.fixture(scope="session", autouse=True)
def _many_sockets():
    if not allow_open_files(4096):
        pytest.skip("these tests need 4096 open files: ulimit -n 4096")


@pytest.fixture(scope="session", autouse=True)
def _fair_threads():
    """Where a test measures beside its own load, the one thread must not wait long for the other."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(usual)

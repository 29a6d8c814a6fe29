import pytest

from tests.process import BrokerProcess


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One broker process for the whole run; tests take names of their own on it. See tests/process.py."""
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process

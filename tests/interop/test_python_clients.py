"""The Python clients of interop/, each against a broker process of its own. `python -m interop` runs all the others."""

from __future__ import annotations

import pytest

from interop.broker import AmqpBroker
from interop.clients import CHECKS, CLIENTS, Client
from interop.run import run_client

PYTHON_CLIENTS = [client for client in CLIENTS if client.language == "Python" and client.checks == CHECKS]


@pytest.mark.parametrize("client", PYTHON_CLIENTS, ids=lambda client: client.name)
def test_python_client_passes_all_interop_checks(client: Client) -> None:
    result = run_client(client, AmqpBroker)

    assert not result.failures, result.output[-4000:]

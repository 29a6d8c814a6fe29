"""The API answers with RabbitMQ's keys, and with values of the same JSON types (see tools/management_golden.py)."""

import json
import re
import time

import httpx
import pytest

from tests.process import BrokerProcess
from tools.management_golden import ASKED, PATH, ask, scene

GOLDEN = json.loads(PATH.read_text())

#: Paths that RabbitMQ's answers have and ours need not, with the reason.
ABSENT = {
    r"config_files\[\]": "an array that may be empty",
    r"reductions_details\.": "samples of what is always 0",
    r"\.online": "null for classic queues, which is an accident",
}
#: Paths that ours have and RabbitMQ's need not.
ADDED = {
    r"message_stats\.disk_": "RabbitMQ documents them for queues, and shows them in the overview only",
    r"\.listeners\[\]\.socket_opts": "RabbitMQ has an array for a kind of listener that does not exist here",
    r"\.exclusive": "null for quorum queues, which is an accident",
    r"\.amqpbroker": "names and versions of this broker, where RabbitMQ's stand for what it behaves as",
    r"_details\.user_provided_name": "the client's name for its connection, which RabbitMQ shows with connections only",
}


def differences(found):
    for asked in ASKED:
        theirs, ours = GOLDEN[asked], found[asked]
        for path in sorted({*theirs, *ours}):
            if theirs.get(path) != ours.get(path):
                reasons = ABSENT if path not in ours else ADDED
                if not any(re.search(reason, path) for reason in {**ABSENT, **reasons}):
                    yield asked, path, theirs.get(path), ours.get(path)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """It looks at its counters often, so that rates and idle times are there soon."""
    directory = tmp_path_factory.mktemp("golden")
    arguments = ("--data-dir", str(directory / "data"), "--set", "collect_statistics_interval=200")
    with BrokerProcess(directory, *arguments) as process:
        yield process


def test_api_responses_have_the_same_keys_and_types_as_rabbitmq(broker):
    url = f"http://guest:guest@127.0.0.1:{broker.port_of('http')}/api/"
    with httpx.Client(base_url=url, timeout=60) as client, scene(broker.port, client) as connection:
        deadline = time.monotonic() + 60
        while left := list(differences(ask(client, connection))):
            if time.monotonic() > deadline:
                break
            time.sleep(0.3)
    assert left == []

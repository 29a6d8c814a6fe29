"""Lists, with an API that answers as a broker with a database does."""

import pytest

from amqpbroker.cli.ctl.command import Rows
from amqpbroker.cli.ctl.commands import COMMANDS
from tests.cli.ctl.answering import StillApi, call

QUEUES = {"queues/%2F": [{"name": "q", "messages": 3}]}


@pytest.mark.parametrize(
    ("led", "options", "rows"),
    [
        (("/",), {"local": ""}, [["q", 3]]),
        (("v",), {"local": ""}, []),
        (("v",), {}, [["q", 3]]),
    ],
)
def test_local_queues_are_those_of_vhosts_that_the_broker_leads(led, options, rows):
    found = COMMANDS["list_queues"].run(call(StillApi(QUEUES, led), **options))
    assert found == Rows(["name", "messages"], rows)

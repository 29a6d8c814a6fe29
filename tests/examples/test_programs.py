"""The programs of docs/examples print what the page there says, and leave nothing behind.

In Python; those in JavaScript are run by `python -m interop examples`, which runs all of them against RabbitMQ, too.
"""

import re

import httpx
import pytest

from amqpbroker.testing import Broker
from interop.examples import transcripts

EXAMPLES = transcripts.PAGE.parent
TRANSCRIPTS = transcripts.read()


@pytest.fixture(scope="module")
def broker():
    with Broker(management=True) as broker:
        yield broker


@pytest.fixture(scope="module")
def where(broker):
    """For those examples in which there are two brokers, the other one is in the cloud."""
    with Broker() as cloud:
        yield {"AMQP_URL": broker.url, "MANAGEMENT_URL": broker.http_url, "CLOUD_URL": cloud.url}
        assert cloud.queues() == []


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(broker):
    yield
    things = [
        thing["name"]
        for kind in ("queues", "exchanges")
        for thing in httpx.get(f"{broker.http_url}/api/{kind}", auth=("guest", "guest")).json()
    ]
    # The tutorials' programs that wait are ended by their users, who may start them again.
    tutorials = {"hello", "tasks", "rpc", "logs", "direct_logs", "topic_logs"}
    # The shop has not closed down.
    left = {name for name in things if not re.match(r"$|amq\.|shop|payments|mails", name)}
    assert left <= tutorials


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=[transcript.title for transcript in TRANSCRIPTS])
def test_example_program_prints_the_output_shown_on_the_page(transcript, where):
    transcripts.run(transcript, where)


def test_examples_page_links_every_example_program():
    programs = {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.*") if path.suffix in {".py", ".cjs"}}
    page = transcripts.PAGE.read_text()
    linked = set(re.findall(r"\]\((\S+\.(?:py|cjs))\)", page))
    typed = {name.removeprefix("docs/examples/") for name in re.findall(r"^\$ python (\S+)", page, re.MULTILINE)}
    # The files of the sample application are shown by those that matter most.
    assert {name for name in programs ^ (linked | typed) if not name.startswith("sample_app/")} == set()


def test_every_example_exists_in_javascript():
    # Celery is a framework for Python.
    examples = [
        transcript
        for transcript in TRANSCRIPTS
        if not re.search("/(tutorials|sample_app|celery_eta)/", transcript.commands[0])
    ]
    assert len(examples) >= 10
    assert [transcript.title for transcript in examples if transcript.in_javascript() is None] == []


def test_example_program_with_different_output_fails(where):
    shown = next(transcript for transcript in TRANSCRIPTS if transcript.title == "Premium customers first")
    wrong = transcripts.Transcript(shown.title, (*shown.lines[:-1], "served: Zoe"), any_order=False)
    with pytest.raises(transcripts.DifferenceError, match="served: Dave"):
        transcripts.run(wrong, where)

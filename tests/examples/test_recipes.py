"""The recipes about problems of plain queues show the output of the example programs, also on a real RabbitMQ."""

import re

import pytest

from interop.clients import HERE, ROOT
from interop.examples import transcripts
from interop.rabbitmq import SERVER, RabbitMQ

TRANSCRIPTS = transcripts.read()
WITH_PLAIN_QUEUES = [each for each in TRANSCRIPTS if each.title.endswith("with plain queues")]
RECIPES = ("all-parts.md", "newer-data.md")


@pytest.fixture(scope="module")
def rabbitmq():
    if not SERVER.exists():
        pytest.skip("RabbitMQ is not installed")
    broker = RabbitMQ()
    try:
        broker.start()
        yield broker
        broker.stop()
    finally:
        broker.close()


@pytest.mark.parametrize("in_javascript", [False, True], ids=["python", "javascript"])
@pytest.mark.parametrize("transcript", WITH_PLAIN_QUEUES, ids=[each.title for each in WITH_PLAIN_QUEUES])
def test_plain_queues_have_the_shown_wrong_result_on_rabbitmq(transcript, in_javascript, rabbitmq):
    modules = HERE / "amqplib" / "node_modules"
    if in_javascript:
        if not (modules / "amqplib").exists():
            pytest.skip("amqplib is not installed")
        transcript = transcript.in_javascript()
    where = {"AMQP_URL": rabbitmq.url, "MANAGEMENT_URL": rabbitmq.management_url, "NODE_PATH": str(modules)}
    transcripts.run(transcript, where)


def test_every_recipe_about_plain_queues_has_a_program_that_shows_the_problem():
    assert len(WITH_PLAIN_QUEUES) == len(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_output_in_a_recipe_is_that_of_an_example_program(recipe):
    shown = re.findall(
        r"^```text\n(.*?)```$", (ROOT / "docs" / "recipes" / recipe).read_text(), re.MULTILINE | re.DOTALL
    )
    assert shown
    printed = {"\n".join(each.expected) + "\n" for each in TRANSCRIPTS}
    assert set(shown) - printed == set()

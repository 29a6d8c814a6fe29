"""Everything outside of `broker/queues/` asks the row of a kind of queue, never which kind it is."""

import ast
import re

import pytest

from amqpbroker.broker.queues.arguments import ARGUMENTS, CONSUMER_ARGUMENTS
from amqpbroker.broker.queues.kinds import CLASSIC, KINDS, QUORUM, STREAM, known_arguments, policy_keys
from amqpbroker.config.rows.queues import QUEUE_TYPES
from tests.test_layers import MODULES, PACKAGE

#: File with names that RabbitMQ has given -> what these are.
TEXTS = {
    "cli/ctl/commands/health.py": "a command of rabbitmqctl and its output",
    "cli/perf/load.py": "the value of the option --quorum-queue of PerfTest",
    "cli/perf/load_options.py": "an option of PerfTest",
    "config/environment.py": "an environment variable of RabbitMQ",
    "config/foreign.py": "keys of rabbitmq.conf",
    "config/rows/queues.py": "keys of rabbitmq.conf, and values of default_queue_type: config is below the broker",
    "management/formats/nodes.py": "parts of a node's memory in the management API",
    "management/routes/features.py": "a feature flag",
    "management/routes/health.py": "paths of the management API",
    "management/routes/queues.py": "a path of the management API",
    "metrics/groups/node.py": "names of metrics",
}

KIND = re.compile("quorum", re.IGNORECASE)


def outside():
    for path in MODULES:
        name = str(path.relative_to(PACKAGE))
        if not name.startswith("broker/queues/"):
            yield name, ast.parse(path.read_text())


def docstrings(tree):
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr):
            yield node.body[0].value


def words(tree):
    """Names, attributes, keywords and texts of a module, without its docstrings."""
    skipped = set(docstrings(tree))
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            yield str(getattr(node, field, ""))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.value


def test_only_texts_of_rabbitmq_name_the_kind_outside_of_queues():
    assert {name for name, tree in outside() if any(map(KIND.search, words(tree)))} == TEXTS.keys()


def test_nothing_outside_of_queues_compares_the_name_of_a_kind():
    names = KINDS.keys()
    found = []
    for name, tree in outside():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                values = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                found += [f"{name}:{node.lineno}" for _ in values & names]
    assert found == []


def test_one_file_of_the_page_names_kinds_for_a_broker_that_does_not_list_them():
    page = PACKAGE / "management" / "static" / "js"
    named = [path for path in page.rglob("*.js") if KIND.search(path.read_text())]
    assert [str(path.relative_to(page)) for path in named] == ["queue_types.js"]


def test_the_default_type_of_the_settings_may_be_any_kind_that_can_be_made():
    made = [kind for kind in KINDS.values() if kind.make is not None]
    names = {kind.name: kind.name for kind in made}
    assert names | {kind.module: kind.name for kind in made} == QUEUE_TYPES


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_row_names_arguments_of_the_table(kind):
    assert kind.known_of_4_3.keys() <= ARGUMENTS.keys()
    assert set(kind.consumer_arguments_in(newest=True)) <= CONSUMER_ARGUMENTS.keys()
    assert list(kind.arguments_in(newest=True))[: len(kind.known)] == list(kind.known)


def test_every_argument_of_the_table_belongs_to_a_kind():
    assert known_arguments(newest=True).keys() == ARGUMENTS.keys()


def test_kinds_that_this_broker_has_can_be_made():
    assert [name for name, kind in KINDS.items() if kind.make is None] == ["stream"]


def test_a_policy_for_one_kind_applies_to_that_kind_only():
    keys = policy_keys()
    for kind in (CLASSIC, QUORUM, STREAM):
        assert keys.kinds_of({"max-length-bytes": 1}, kind.apply_to) == {kind.name}

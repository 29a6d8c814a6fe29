"""Code outside of `broker/queues/` uses the attributes of a queue type, and never checks which type it is."""

import ast
import re

from amqpbroker.broker.queues.kinds import KINDS
from tests.sources import MODULES, PACKAGE, nodes, parsed, text

#: File with names given by RabbitMQ -> their meaning.
TEXTS = {
    "cli/ctl/commands/__init__.py": "a command of rabbitmqctl",
    "cli/ctl/commands/health.py": "a command of rabbitmqctl and its output",
    "cli/perf/load.py": "the value of the option --quorum-queue of PerfTest",
    "cli/perf/load_options.py": "an option of PerfTest",
    "cluster/requests/answered_by.py": "paths of the management API",
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
            yield name, path


def docstrings(tree):
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in nodes(tree):
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr):
            yield node.body[0].value


def words(tree):
    """Return names, attributes, keywords and texts of a module, without its docstrings."""
    skipped = set(docstrings(tree))
    for node in nodes(tree):
        for field in ("id", "attr", "arg", "name"):
            yield str(getattr(node, field, ""))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.value


def test_queue_kinds_outside_of_queues_are_named_only_in_rabbitmq_texts():
    naming = {name: parsed(path) for name, path in outside() if KIND.search(text(path))}
    assert {name for name, tree in naming.items() if any(map(KIND.search, words(tree)))} == TEXTS.keys()


def test_no_code_outside_of_queues_compares_the_name_of_a_queue_kind():
    names = KINDS.keys()
    found = []
    for name, path in outside():
        for node in nodes(parsed(path)):
            if isinstance(node, ast.Compare):
                values = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                found += [f"{name}:{node.lineno}" for _ in values & names]
    assert found == []


def test_only_one_javascript_file_of_the_page_names_queue_kinds():
    page = PACKAGE / "management" / "static" / "js"
    named = [path for path in page.rglob("*.js") if KIND.search(path.read_text())]
    assert [str(path.relative_to(page)) for path in named] == ["queue_types.js"]

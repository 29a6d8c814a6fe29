"""A verb means one thing in the names of functions; "Words of this project" in CONTRIBUTING.md says which.

A new function whose name begins with one of these verbs needs a row here: its module has to be one where the verb means
what the table says, or it needs another name.
"""

import ast
import re
from pathlib import Path

import pytest

from tests.sources import parsed
from tests.test_layers import MODULES, PACKAGE

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
TABLE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text().split("\n### Verbs\n")[1].split("\n## ")[0]

#: Verb -> modules whose functions may begin with it, because it means there what the table says; a name that ends in
#: "/" is a folder.
MODULES_OF = {
    "settle": {
        "amqp/",
        "broker/queues/last_value/queue.py",
        "broker/queues/outstanding.py",
        "broker/queues/settlement.py",
        "store/pending_writes.py",
        "store/live_entries.py",
        "store/relocations.py",
        "store/record.py",
        "store/store.py",
    },
    "take": {
        "store/streams/chunk.py",
        "amqp/answers.py",
        "amqp/connection.py",
        "amqp/frame_loop.py",
        "amqp/unacked.py",
        "amqp/output.py",
        "amqp/transaction.py",
        "broker/queues/groups/dispatcher.py",
        "broker/queues/dispatcher.py",
        "broker/queues/lines/pages.py",
        "broker/queues/lines/paging.py",
        "cluster/vhost_following.py",
        "cluster/following/vhost_followers.py",
        "store/pending_writes.py",
        "store/groups.py",
        "wire/reader.py",
    },
    "forget": {
        "amqp/publishing.py",
        "amqp/channels.py",
        "amqp/frame_loop.py",
        "amqp/routes.py",
        "broker/exchanges/routing.py",
        "store/journal/journal.py",
        "store/log.py",
        # The public API: it forgets the faults that tests have recorded.
        "testing/faults/api.py",
        "testing/aio/faults.py",
    },
    "hand": {"amqp/delivery.py", "broker/queues/consumer.py"},
    "drop": {
        "cli/perf/client.py",
        "server/answers.py",
        "server/http_protocol.py",
        "testing/faults/api.py",
    },
    "put": {
        "broker/broker.py",
        "broker/policies/limits.py",
        "broker/policies/parameters.py",
        "broker/policies/policies.py",
        "broker/shovels/shovels.py",
        "broker/users/users.py",
        "cli/ctl/api.py",
        "management/",
        "store/database/database_definitions.py",
        "store/definitions/definitions.py",
        "store/definitions/followed_definitions.py",
        "store/definitions/sqlite_definitions.py",
        "testing/retained.py",
    },
    "give": set(),
    "keep": set(),
    "look": set(),
    "tell": set(),
    "say": set(),
    "ask": set(),
}

#: Words of the field that begin with one of these verbs and mean something of their own.
COMPOUNDS = {"give_up", "hand_back", "hand_over", "handshake", "look_up", "take_back"}


def named(tree, inside=()):
    """Yield the functions of a module, with the names of the classes and functions around them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FUNCTIONS):
            yield ".".join((*inside, node.name)), node
        if isinstance(node, ast.ClassDef | FUNCTIONS):
            yield from named(node, (*inside, node.name))


def verb_of(name):
    """Return the verb that a function's name begins with, "" for none of the table."""
    name = name.lstrip("_")
    if any(name == compound or name.startswith(f"{compound}_") for compound in COMPOUNDS):
        return ""
    first = name.partition("_")[0]
    verbs = [verb for verb in MODULES_OF if first in (verb, f"{verb}s")]
    return verbs[0] if verbs else ""


def faults(path, source):
    """Yield the functions of a module, given as text or parsed, whose names do not fit, as "module: Class.name"."""
    for name, node in named(source if isinstance(source, ast.Module) else ast.parse(source)):
        verb = verb_of(node.name)
        if not verb:
            continue
        fits = any(path == module or (module[-1] == "/" and path.startswith(module)) for module in MODULES_OF[verb])
        returns = node.returns is not None and ast.unparse(node.returns) != "None"
        if not fits or (verb == "take" and not returns):
            yield f"{path}: {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_verbs_in_function_names_have_the_meaning_of_the_table(path):
    found = set(faults(str(path.relative_to(PACKAGE)), parsed(path)))
    assert found == set(), "see 'Words of this project' in CONTRIBUTING.md"


def test_each_module_listed_for_a_verb_has_a_function_with_that_verb():
    for verb, modules in MODULES_OF.items():
        for module in modules:
            paths = [path for path in MODULES if str(path.relative_to(PACKAGE)).startswith(module)]
            names = [node.name for path in paths for _, node in named(parsed(path))]
            assert any(verb_of(name) == verb for name in names), f"{module} has no function that begins with {verb}"


def test_contributing_has_a_row_for_every_verb():
    rows = {name for row in re.findall(r"^\| (.+?) \|", TABLE, re.MULTILINE) for name in re.findall("`([a-z]+)`", row)}
    assert rows == set(MODULES_OF)


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("store/pending_writes.py", "class G:\n def take(self) -> list[int]: ...", []),
        ("store/pending_writes.py", "class G:\n def take(self) -> None: ...", ["G.take"]),
        ("store/pending_writes.py", "class G:\n def take(self, one): ...", ["G.take"]),
        ("broker/vhost.py", "def take_all() -> int: ...", ["take_all"]),
        ("broker/vhost.py", "class V:\n def _keep(self) -> None: ...", ["V._keep"]),
        ("broker/vhost.py", "class V:\n def keeps(self) -> bool: ...", ["V.keeps"]),
        ("broker/vhost.py", "class V:\n def drop_queue(self) -> None: ...", ["V.drop_queue"]),
        ("broker/vhost.py", "class V:\n async def put(self) -> None: ...", ["V.put"]),
        ("broker/vhost.py", "def f() -> int:\n def tell() -> int: ...", ["f.tell"]),
        ("broker/vhost.py", "def give_up() -> None: ...\ndef handshake() -> int: ...\ndef told() -> int: ...", []),
        ("management/routes/queues.py", "def put(call) -> int: ...", []),
        ("store/log.py", "class L:\n def forget_up_to(self) -> None: ...", []),
    ],
)
def test_function_names_that_break_the_verb_rules_are_found(path, source, found):
    assert list(faults(path, source)) == [f"{path}: {name}" for name in found]

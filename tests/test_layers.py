"""Imports only point down. This table is the architecture; docs/architecture.md draws it."""

import ast
from functools import cache

import pytest

from tests.sources import MODULES, PACKAGE, nodes, parsed

#: layer -> the layers that it may import, besides itself. The modules of `amqpbroker` itself are layers of their own.
LAYERS = {
    "errors": set(),
    "compat": set(),
    "config": {"compat"},
    "clock": set(),
    "compiled": set(),
    "patterns": set(),
    "row_slices": set(),
    "plain_octets": set(),
    "octets": {"plain_octets"},
    "wire": {"octets", "errors", "config", "clock"},
    "message": {"octets", "wire"},
    "store": {"octets", "message", "wire", "errors", "config", "clock"},
    "client": {"wire"},
    "broker": {"octets", "patterns", "client", "store", "message", "wire", "errors", "compat", "config", "clock"},
    "amqp": {"octets", "patterns", "broker", "store", "message", "wire", "errors", "compat", "config", "clock"},
    "management": {"compiled", "patterns", "row_slices", "broker", "message", "wire", "errors", "config", "clock"},
    "metrics": {"row_slices", "broker", "wire", "errors", "config", "clock"},
    "shovel": {"client", "broker", "wire", "errors", "clock"},
    "server": {
        "compiled",
        "patterns",
        "shovel",
        "management",
        "metrics",
        "amqp",
        "broker",
        "store",
        "wire",
        "errors",
        "config",
        "clock",
    },
    "cluster": {
        "patterns",
        "row_slices",
        "server",
        "management",
        "amqp",
        "broker",
        "store",
        "wire",
        "errors",
        "config",
        "clock",
    },
    "testing": {
        "server",
        "management",
        "amqp",
        "broker",
        "store",
        "message",
        "wire",
        "errors",
        "compat",
        "config",
        "clock",
    },
    "cli": {"compiled", "cluster", "server", "testing", "client", "store", "wire", "errors", "config", "clock"},
    "__main__": {"cli"},
    "__init__": set(),
}

#: Folder of the layer -> the folders and modules of its own layer that it may import, types included. Modules outside
#: of folders are not limited.
FOLDERS = {
    "broker": {
        "counters": set(),
        "deduplication": {"deferred_free", "publishing"},
        "events": {"infos"},
        "users": {"events", "counters"},
        "policies": {"users", "events"},
        "batches": {"exchanges", "tracking", "publishing"},
        "exchanges": {"deduplication", "deferred_free", "tracking", "policies", "counters"},
        "tracking": set(),
        "jobs": {"exchanges", "tracking", "publishing", "queues", "session"},
        "publishing": {"users"},
        "queues": {
            "deduplication",
            "tracking",
            "publishing",
            "exchanges",
            "policies",
            "counters",
            "events",
            "infos",
            "deferred_free",
        },
        "shovels": {"queues", "policies", "users", "events"},
        "redrive": {"queues", "exchanges", "users"},
        "system_exchanges": {"queues", "exchanges", "policies", "events", "infos", "vhost"},
    },
    "store": {
        "journal": {"files", "live_entries", "log", "record", "recovered"},
        "definitions": {"files", "log", "record"},
        "copying": {"definitions", "files", "journal", "keys", "log", "record", "recovered", "streams"},
        "database": {"definitions", "files", "log", "record", "recovered"},
        "streams": {"checksum", "files", "log", "record", "stored"},
        "directory": {
            "copying",
            "definitions",
            "journal",
            "streams",
            "checksum",
            "files",
            "log",
            "record",
            "recovered",
            "syscalls",
        },
    },
    "cluster": {
        "following": set(),
        "leadership": set(),
        "peers": {"leadership", "requests"},
        "placement": {"leadership"},
        "relaying": {"leadership", "peers"},
        "requests": set(),
    },
}

#: Modules, each with an import that violates the table.
NOT_YET: set[tuple[str, str]] = set()

#: Packages that may use an event loop.
EVENT_LOOP = {"row_slices", "client", "server", "shovel", "cluster", "management", "metrics", "testing", "cli"}


def layer_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imported(path):
    """Return the full names of a module's imports, at its top or inside its functions."""
    return tuple(names_imported(path))


def names_imported(path):
    for node in nodes(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def may_import(layer, name):
    top, _, rest = name.partition(".")
    if top == "amqpbroker":
        return rest.partition(".")[0] in LAYERS[layer] | {layer, "", "__version__"}
    return layer in EVENT_LOOP or top not in ("asyncio", "uvloop")


def test_modules_import_only_allowed_layers():
    against = [(str(path), name) for path in MODULES for name in imported(path) if not may_import(layer_of(path), name)]
    assert against == []


@pytest.mark.parametrize(
    ("layer", "name", "allowed"),
    [
        ("store", "amqpbroker.wire.frames", True),
        ("store", "amqpbroker.store.log", True),
        ("store", "amqpbroker.__version__", True),
        ("store", "amqpbroker.broker.vhost", False),
        ("store", "asyncio.Task", False),
        ("server", "asyncio.Task", True),
        ("store", "uvloop", False),
        ("wire", "json", True),
    ],
)
def test_layers_may_import_only_allowed_modules(layer, name, allowed):
    assert may_import(layer, name) is allowed


def test_folders_import_only_the_folders_below_them():
    against = set()
    for layer, table in FOLDERS.items():
        for path in (PACKAGE / layer).glob("*/**/*.py"):
            folder = path.relative_to(PACKAGE / layer).parts[0]
            for name in imported(path):
                start, _, rest = name.removeprefix("amqpbroker.").partition(".")
                below = rest.partition(".")[0]
                if start == layer and below not in table.get(folder, ()) and below != folder:
                    against.add((str(path.relative_to(PACKAGE)), below))
    assert against == NOT_YET


def test_every_folder_of_a_layer_has_a_row_in_its_table():
    for layer, table in FOLDERS.items():
        assert {path.parent.name for path in (PACKAGE / layer).glob("*/__init__.py")} == set(table)


#: layer -> maximum number of modules in an import cycle within it, including imports for types only.
CIRCLES = dict.fromkeys(LAYERS, 3) | {
    "amqp": 2,
    "store": 0,
    "wire": 0,
    "management": 0,
    "testing": 0,
    "cli": 0,
    "cluster": 0,
}

#: Modules of the layer `broker` that its package `events` may import, besides itself.
BELOW_EVENTS = {"infos"}


def circles(layer):
    """Return the sets of modules of a layer that import each other, directly or through others."""
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items() if layer_of(path) == layer}
    below = {
        name: {full if full in names else full.rpartition(".")[0] for full in imported(path)} & names.keys() - {name}
        for name, path in names.items()
    }
    while True:
        reached = {name: found.union(*(below[each] for each in found)) for name, found in below.items()}
        if reached == below:
            break
        below = reached
    return {frozenset(each for each in found if name in below[each]) for name, found in below.items() if name in found}


@pytest.mark.parametrize("layer", CIRCLES)
def test_import_cycles_do_not_grow(layer):
    assert [sorted(circle) for circle in circles(layer) if len(circle) > CIRCLES[layer]] == []


def test_event_modules_import_no_module_that_emits_events():
    for path in (PACKAGE / "broker" / "events").glob("*.py"):
        for name in imported(path):
            if name.startswith("amqpbroker.broker."):
                assert name.split(".")[2] in BELOW_EVENTS | {"events"}, f"{path.name} imports {name}"


def test_the_broker_imports_only_uris_of_the_client():
    names = {name for path in MODULES if layer_of(path) == "broker" for name in imported(path)}
    assert {name.rpartition(".")[0] for name in names if name.startswith("amqpbroker.client")} == {
        "amqpbroker.client.uri"
    }


def test_table_of_layers_has_no_cycle():
    for layer, below in LAYERS.items():
        assert all(layer not in LAYERS[other] for other in below)


#: Layers that speak a protocol to clients. Code that two of them need is in `broker`, or below.
PROTOCOLS = {"amqp", "management"}


def test_no_protocol_imports_another():
    assert LAYERS.keys() >= PROTOCOLS
    assert [layer for layer in PROTOCOLS if LAYERS[layer] & PROTOCOLS] == []


def test_only_a_command_imports_the_cluster():
    """A broker of one machine loads nothing of it: tests/cli/test_start_imports.py."""
    assert {layer for layer, below in LAYERS.items() if "cluster" in below} == {"cli"}


def test_every_layer_is_in_the_table():
    assert {layer_of(path) for path in MODULES} == set(LAYERS)


def test_only_the_layers_that_open_it_depend_on_a_concrete_store():
    """All others use a `Store`, whether it stores anything or not."""
    knowing = {
        layer_of(path)
        for path in MODULES
        if any(name.startswith("amqpbroker.store.persistence") for name in imported(path))
    }
    assert "server" in knowing <= {"server", "cluster", "store"}


#: Modules that may know that the log is in files: the journal itself, inspections of the data directory, and modules
#: that open it.
KNOW_THE_JOURNAL = {
    ("store", "journal"),
    ("store", "directory"),
    ("store", "copying"),
    ("cluster",),
    ("server",),
    ("cli",),
}


def knows_the_journal(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[:1] in KNOW_THE_JOURNAL or parts[:2] in KNOW_THE_JOURNAL


def test_no_other_module_depends_on_the_journal():
    """The requirements of any log are in its seam, so that another log needs nothing from the journal."""
    others = [path for path in MODULES if not knows_the_journal(path)]
    assert len(others) < len(MODULES)
    assert [
        (str(path.relative_to(PACKAGE)), name)
        for path in others
        for name in imported(path)
        if name.startswith("amqpbroker.store.journal")
    ] == []


#: The broker does no I/O: it imports none of these.
INPUT_AND_OUTPUT = {"io", "os", "pathlib", "shutil", "socket", "sqlite3", "tempfile"}


def test_the_broker_and_the_protocol_do_no_input_or_output():
    for path in MODULES:
        if layer_of(path) in ("broker", "amqp"):
            assert {name.partition(".")[0] for name in imported(path)} & INPUT_AND_OUTPUT == set(), path
            assert [name for name in imported(path) if name.startswith("amqpbroker.store.files")] == [], path

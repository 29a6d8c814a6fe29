"""The modules that a start with default settings loads. Everything else is loaded when it is used."""

from tests import imports

#: Packages of others that any broker needs. `cython` modules belong to uvloop.
PACKAGES = {"amqpbroker", "click", "librt", "mypy_extensions", "pamqp", "uvloop", "zlib_ng"}

#: Modules of the broker, with all below them, that wait for a client, a setting or a command.
LATER = imports.existing(
    "amqpbroker.broker.shovels.definition",
    "amqpbroker.cli.ctl",
    "amqpbroker.cli.perf",
    "amqpbroker.cli.ping",
    "amqpbroker.cli.store",
    "amqpbroker.cli.tail",
    "amqpbroker.client",
    "amqpbroker.cluster",
    "amqpbroker.management.app",
    "amqpbroker.management.formats",
    "amqpbroker.management.routes",
    "amqpbroker.metrics",
    "amqpbroker.shovel",
    "amqpbroker.store.copying",
    "amqpbroker.store.database",
    "amqpbroker.store.directory",
    "amqpbroker.testing",
)
#: Modules of a data directory, without which a broker in memory starts.
ON_DISK = imports.existing(
    "amqpbroker.store.definitions.sqlite_definitions",
    "amqpbroker.store.journal.journal",
    "amqpbroker.store.persistence",
    "sqlite3",
)
#: Modules of Python that take a millisecond or more.
HEAVY = imports.existing(
    "argparse", "csv", "ctypes", "difflib", "email", "html", "http", "multiprocessing", "shutil", "sqlite3", "tempfile",
    "unittest", "urllib.request", "xml", "zipfile",
)  # fmt: skip


def started(*words):
    """Return the modules that a broker has loaded when clients can connect."""
    words = ("--port", "0", "--set", "management.tcp.port=0", "--set", "prometheus.tcp.port=0", *words)
    status, output, modules = imports.run("serve", *words, stop_at="amqpbroker.cli.screen:Screen.ready")
    assert status == 0, output
    return modules


def below(modules, packages):
    return {name for name in modules if any(f"{name}.".startswith(f"{package}.") for package in packages)}


def test_start_in_memory_loads_no_module_that_is_used_later():
    modules = started("--in-memory")
    assert below(modules, LATER | ON_DISK | HEAVY) == set()
    assert {name.partition(".")[0] for name in imports.foreign(modules)} - PACKAGES == {
        name.partition(".")[0] for name in modules if "cython" in name
    }


def test_start_with_a_data_directory_also_loads_what_stores_data(tmp_path):
    modules = started("--data-dir", tmp_path)
    assert below(modules, LATER - {"amqpbroker.store.directory"} | HEAVY - {"sqlite3"}) == set()
    assert below(modules, ON_DISK) >= ON_DISK

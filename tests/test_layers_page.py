"""Counts of `python -m tests.layers`, and their page."""

import ast

import pytest

from tests import layers
from tests.test_layers import FOLDERS, LAYERS


@pytest.mark.parametrize(
    ("count", "source", "number"),
    [
        (
            layers.asks_for_store,
            "isinstance(store, Persistence); isinstance(x, (int, MemoryStore)); isinstance(x, int)",
            2,
        ),
        (
            layers.asks_whether_there,
            "a = log is None or x.spill is None\nif self._store is not None and catalog is None: pass",
            3,
        ),
        (layers.asks_for_quorum, "if kind == 'quorum' or queue.quorum: queue.quorum = kind in ('quorum', 'x')", 3),
        (layers.asks_whether_heard, "if self.events.heard and events.heard: heard = other.heard", 2),
        (layers.foreign_writes, "a = self.a = 1\nb.c = self.d.e = 1\nself.f, g.h = 1, 2\nx.y += 1\nz.w: int = 1", 5),
        (layers.writes_connection, "connection.a = self._connection.b = self.connection = 1\ndel x.connection.c", 3),
        (layers.settles, "def f(self):\n self.store.settle(e)\n store.settle_positions(p)\n self.settle(e)", 2),
        (layers.counts_unacked, "consumer.unacked += 1\nself.unacked_count -= 2\nself.count += 1", 2),
        (layers.cuts_frames, "data[at] != 0xCE\nx == frames.END\nend == 1 and byte == b'\\xce'", 3),
        (layers.sends_start_ok, "f('connection.start-ok', a=1)\nmatch x:\n case 'connection.start-ok': pass", 1),
        (layers.writes_argument, "def f(a):\n a.b = 1\n a.c = 1\nclass C:\n def g(self, a):\n  a.b = 1", 1),
        (
            lambda tree: len(layers.methods(tree, "C")),
            "class C:\n def f(self): 1\n def g(self): 1\nclass D:\n def h(s): 1",
            2,
        ),
        (
            lambda tree: len(layers.fields(tree, "C")),
            "class C:\n def __init__(self): self.a = self.b = x.c = self.d",
            2,
        ),
        (lambda tree: layers.abstract(tree, "C"), "class C:\n @property\n @abstractmethod\n def f(self): 1", 1),
    ],
)
def test_architecture_counts_of_a_source_are_correct(count, source, number):
    assert count(ast.parse(source)) == number


def test_no_module_checks_whether_a_store_exists():
    assert layers.total(layers.asks_whether_there, layers.MODULES) == "0"


def test_architecture_report_fits_on_one_page():
    lines = layers.page().splitlines()
    assert 30 < len(lines) <= 92
    assert max(map(len, lines)) < 200
    assert {line.partition(" ")[0] for line in lines} > set(LAYERS)
    folders = {folder for table in FOLDERS.values() for folder in table}
    assert {line.split()[0] for line in lines if line.startswith("  ")} > folders


def test_architecture_report_shows_each_count_beside_its_earlier_value():
    counts = layers.counts()
    head, *lines = layers.page().splitlines()[-len(counts) - 1 :]
    assert head.split()[-2:] == ["before", "today"]
    for count, line in zip(counts, lines, strict=True):
        assert count.before
        assert line.split() == f"{count.name} {count.before} {count.today}".split()

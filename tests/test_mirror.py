"""Tests mirror the source: `amqpbroker/store/writer.py` is tested in `tests/store/test_writer.py`.

`tests/covered.txt` has a row for each source without a test file of its own: the source below `amqpbroker`, and the
file below `tests` that covers it. An `__init__.py` counts if it defines something. `python -m tests.mirror` finds rows
whose test does not run their source.
"""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "amqpbroker"

ROWS = [tuple(line.split()) for line in (TESTS / "covered.txt").read_text().splitlines()]
COVERED = dict(ROWS)

DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def sources():
    """Return the sources that need tests, below the package."""
    return {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or defines(path)
    }


def defines(path):
    return any(isinstance(node, DEFINITIONS) for node in ast.parse(path.read_text()).body)


def mirrored(source):
    """Return the path for the tests of a source, if they have a file of their own."""
    path = Path(source)
    return TESTS / path.parent / f"test_{path.name}"


def test_every_source_file_has_its_own_tests_or_a_row_in_the_list():
    assert [name for name in sorted(sources()) if not mirrored(name).exists() and name not in COVERED] == []


def test_no_listed_source_file_is_removed_or_has_its_own_tests():
    known = sources()
    assert [name for name in COVERED if name not in known or mirrored(name).exists()] == []


def test_every_row_names_an_existing_test_file():
    assert [row for row in ROWS if not (TESTS / row[1]).is_file() or not Path(row[1]).name.startswith("test_")] == []


def test_rows_of_sources_without_own_tests_are_sorted_and_unique():
    names = [name for name, _ in ROWS]
    assert names == sorted(set(names))


def test_only_functions_with_a_body_are_counted_per_source_file(tmp_path):
    from tests import mirror  # imports this module

    source = tmp_path / "source.py"
    source.write_text(
        'class A:\n def f(self): return 1\n def g(self): ...\n def h(self):\n  """Nothing."""\nasync def i(): await j'
    )
    assert mirror.functions(source) == {"A.f", "i"}

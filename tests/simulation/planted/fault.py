"""One planted fault, and a copy of the broker that has it."""

import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PACKAGE = "amqpbroker"


class Planted(NamedTuple):
    """One fault: `new` replaces `old`, which occurs once in the files of the package with that name.

    The file has no folder, so that a fault survives a move of the file.
    """

    name: str
    file: str
    old: str
    new: str


def changed(fault: Planted) -> tuple[Path, str]:
    """Return the file of a fault and its source with the fault.

    Raises ValueError unless the fault applies exactly once, and SyntaxError if the changed source is not valid.
    """
    places = [path for path in (ROOT / PACKAGE).rglob(fault.file) if fault.old in path.read_text()]
    count = sum(path.read_text().count(fault.old) for path in places)
    if count != 1:
        raise ValueError(
            f"{fault.name}: {fault.file} has the text {count} times instead of once;"
            f" change the fault's `old`: {fault.old!r}"
        )
    source = places[0].read_text().replace(fault.old, fault.new)
    compile(source, places[0], "exec")
    return places[0], source


def copy_with(fault: Planted, directory: Path) -> None:
    """Copy the package into the directory, with the fault in it. Raises as `changed`."""
    path, source = changed(fault)
    shutil.copytree(ROOT / PACKAGE, directory / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / path.relative_to(ROOT)).write_text(source)

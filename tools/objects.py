"""Compile the C files of extensions, several at a time, and none twice.

The build of a wheel uses this (setup.py). setuptools itself compiles the files of an extension one after another.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

#: Cached objects that no build has used for this long are removed.
UNUSED_DAYS = 14


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Unit:
    """A C file, and the compiler's arguments for it."""

    source: Path
    include_dirs: tuple[str, ...]
    arguments: tuple[str, ...]


class Cache:
    """Objects of earlier builds, by everything that they depend on.

    identity: the compiler, its version, and the versions of all headers that are not part of the sources.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, unit: Unit) -> Path:
        """Return where the object of this unit is, or will be."""
        # The folder of the sources differs from build to build; a file's own name is part of the object.
        keys = (self._identity, unit.source.name, *unit.arguments, unit.source.read_text())
        return self._folder / f"{hashlib.sha256(chr(0).join(keys).encode()).hexdigest()}.o"

    def prune(self, now_s: float) -> None:
        """Remove objects that were not used for UNUSED_DAYS."""
        for path in self._folder.glob("*.o"):
            if path.stat().st_mtime < now_s - UNUSED_DAYS * 86400:
                path.unlink(missing_ok=True)


def identity(compiler: Sequence[str], *versions: str) -> str:
    """Return what distinguishes a compiler and headers from others: its command, its version, and these versions."""
    printed = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return "\n".join([*compiler, printed.stdout, sys.version, *versions])


def compile_all(units: Iterable[Unit], compile_one: Callable[[Unit], Path], cache: Cache | None) -> dict[Path, Path]:
    """Compile units, as many at a time as there are processors, and return the object of each source.

    compile_one: compiles a unit and returns its object. Its exceptions end the build.
    """

    def made(unit: Unit) -> Path:
        if cache is None:
            return compile_one(unit)
        path = cache.path(unit)
        if path.exists():
            os.utime(path)
        else:
            compile_one(unit).replace(path)
        return path

    # The largest first: none of them is left at the end, when only one processor has work.
    ordered = sorted(units, key=lambda unit: -unit.source.stat().st_size)
    with ThreadPoolExecutor(processors()) as pool:
        found = dict(zip([unit.source for unit in ordered], pool.map(made, ordered), strict=True))
    if cache is not None:
        cache.prune(time.time())
    return found

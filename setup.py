"""Compile the hot path when a wheel is built; all metadata is in pyproject.toml.

AMQPBROKER_COMPILE selects what a wheel contains. If it is unset, the hot path is compiled if there is a C compiler, and
interpreted if there is none or if it fails. 0 means not compiled. 1 makes the build fail unless the hot path can be
compiled. Editable installs are never compiled, because they would not run what is edited.
docs/decisions/0010-compiled.md has the reasons.

This module is also the build backend of pyproject.toml: it passes every hook on to setuptools, and requires mypy only
for a wheel that is compiled.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from setuptools import Extension, build_meta, setup
from setuptools.build_meta import (  # noqa: F401 - the hooks of the backend
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))  # setuptools runs this file with another path
from tools import generated_c, objects

#: Modules that ship compiled, as one group so that calls among them are calls in C: the code that runs for every
#: message, and the bases of its classes. All other modules are interpreted, and stay easy to inspect.
HOT = [
    "clock",
    "patterns",
    "wire/frames",
    "wire/properties",
    "wire/property_flags",
    "wire/property_walk",
    "wire/property_edit",
    "wire/raw_headers",
    "message/pieces",
    "message/message",
    "message/deaths",
    "store/store",
    "store/record",
    "store/groups",
    "store/live_entries",
    "store/relocations",
    "store/persistence",
    "store/pending_writes",
    "store/batches",
    "store/writer",
    "store/stored",
    "store/reading",
    "store/recovered",
    "store/message_id_record",
    "store/streams/block_cache",
    "store/streams/chunk",
    "store/streams/stream_log",
    "store/streams/streams",
    "broker/tracking/all_trackers",
    "broker/tracking/copy_tracker",
    "broker/batches/member",
    "broker/exchanges/tracked_destination",
    "broker/queues/entry",
    "broker/queues/queue",
    "broker/queues/host",
    "broker/queues/local_queue",
    "broker/queues/deduplicating_queue",
    "broker/queues/groups/group",
    "broker/queues/groups/following",
    "broker/queues/groups/head_of_queue",
    "broker/queues/groups/key",
    "broker/queues/groups/ledger",
    "broker/queues/groups/line",
    "broker/queues/groups/stopped_group_records",
    "broker/queues/groups/dispatcher",
    "broker/queues/groups/queue",
    "broker/queues/groups/returns",
    "broker/queues/groups/redrive",
    "broker/queues/groups/stale_versions",
    "broker/queues/groups/task",
    "broker/queues/groups/resume",
    "broker/queues/groups/versions",
    "broker/queues/groups/groups",
    "broker/queues/lines/number_set",
    "broker/queues/last_value/queue",
    "broker/queues/last_value/line",
    "broker/queues/last_value/values",
    "broker/deduplication/foreseen_ids",
    "broker/deduplication/message_key",
    "broker/deduplication/queued_ids",
    "broker/deduplication/window",
    "broker/queues/ledger",
    "broker/queues/dispatcher",
    "broker/queues/outstanding",
    "broker/queues/expiry",
    "broker/queues/length_limit",
    "broker/queues/returns",
    "broker/queues/lines/pages",
    "broker/queues/lines/ready_line",
    "broker/queues/lines/returned_line",
    "broker/queues/deadlines",
    "broker/queues/schedule",
    "broker/queues/settlement",
    "broker/queues/streams/filter",
    "broker/queues/streams/queue",
    "broker/queues/streams/reader",
    "broker/queues/streams/tracking",
    "broker/queues/lines/fifo_line",
    "broker/queues/lines/priority_line",
    "broker/queues/lines/quorum_lines",
    "broker/queues/consumer",
    "broker/queues/consumers",
    "broker/exchanges/destination",
    "broker/queues/dead_letters/deadletter",
    "broker/queues/dead_letters/dead_letter_builder",
    "broker/queues/dead_letters/dead_letter_reservations",
    "broker/queues/dead_letters/delivery_count",
    "broker/publishing/inspection",
    "broker/queues/lines/paging",
    "broker/counters/stats",
    "broker/infos",
    "broker/exchanges/header_index",
    "broker/exchanges/delay",
    "broker/exchanges/held",
    "broker/queues/direct_reply",
    "broker/exchanges/key_index",
    "broker/exchanges/targets",
    "broker/exchanges/direct_index",
    "broker/exchanges/topic_index",
    "broker/exchanges/fanout_index",
    "broker/exchanges/routing",
    "broker/vhost",
    "broker/session",
    "amqp/state",
    "amqp/client",
    "amqp/connection",
    "amqp/frame_loop",
    "amqp/dispatch",
    "amqp/heartbeat",
    "amqp/channel",
    "amqp/channel_context",
    "amqp/answers",
    "amqp/publishing",
    "amqp/unacked",
    "amqp/unfinished",
    "amqp/overdue_deliveries",
    "amqp/locks",
    "amqp/consumers",
    "amqp/content",
    "amqp/output",
    "amqp/body_stream",
    "amqp/repeated_publish",
    "amqp/routes",
    "amqp/round_robin",
    "amqp/delivery",
    "amqp/browsing",
    "amqp/settling",
    "amqp/confirms",
    "amqp/channel_counters",
]

#: The extension with all of them, next to the package.
GROUP = "amqpbroker"

#: Hot modules that most messages pass: compiled at -O2, all others at -O1, which takes the compiler two thirds of the
#: time. docs/decisions/0010-compiled.md compares the levels.
HOTTEST = frozenset(
    [
        "clock",
        "wire/frames",
        "wire/properties",
        "wire/property_flags",
        "wire/property_walk",
        "wire/raw_headers",
        "message/pieces",
        "message/message",
        "store/store",
        "store/record",
        "store/groups",
        "store/persistence",
        "store/pending_writes",
        "store/batches",
        "store/stored",
        "store/live_entries",
        "broker/queues/entry",
        "broker/queues/queue",
        "broker/queues/local_queue",
        "broker/queues/ledger",
        "broker/queues/dispatcher",
        "broker/queues/outstanding",
        "broker/queues/lines/ready_line",
        "broker/queues/lines/fifo_line",
        "broker/queues/consumer",
        "broker/queues/consumers",
        "broker/exchanges/destination",
        "broker/exchanges/targets",
        "broker/exchanges/routing",
        "broker/exchanges/key_index",
        "broker/exchanges/direct_index",
        "broker/exchanges/topic_index",
        "broker/exchanges/fanout_index",
        "broker/publishing/inspection",
        "broker/counters/stats",
        "amqp/connection",
        "amqp/frame_loop",
        "amqp/dispatch",
        "amqp/channel",
        "amqp/publishing",
        "amqp/unacked",
        "amqp/consumers",
        "amqp/content",
        "amqp/output",
        "amqp/repeated_publish",
        "amqp/routes",
        "amqp/round_robin",
        "amqp/delivery",
        "amqp/settling",
        "amqp/confirms",
    ]
)

#: Folder of the objects of earlier builds, which are not compiled again. Without it, all files are compiled.
OBJECTS = os.environ.get("AMQPBROKER_OBJECTS", "")

#: Requirements of compiling.
COMPILER = ["mypy==2.4.*"]

#: mypy has the types of this package only: a build has none of what the package imports.
MYPY = ["--config-file=", "--ignore-missing-imports"]

#: Says in an installed package why it is not compiled; amqpbroker/compiled.py reads it.
REASON = "interpreted.txt"

ASKED = os.environ.get("AMQPBROKER_COMPILE", "")

ROOT = Path(__file__).parent


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what has to be installed before a wheel is built: mypy unless the wheel is interpreted anyway."""
    required: list[str] = build_meta.get_requires_for_build_wheel(config_settings)
    return required if ASKED == "0" or missing() else [*required, *COMPILER]


def optimised(source: Path, arguments: list[str]) -> list[str]:
    """Return the compiler's arguments for a C file: those of its extension, at the level of its module."""
    module = source.stem.removeprefix(f"__native_{GROUP}___").replace("___", "/")
    return ["-O2" if word == "-O1" and module in HOTTEST else word for word in arguments]


def missing() -> str:
    """Return what keeps anything from being compiled here, an empty text if nothing does."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} compiles by itself"
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")
    if not command:
        return ""  # Windows: only a try shows whether there is a compiler
    if not shutil.which(command[0]):
        return "no C compiler"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "header.c")
        source.write_text("#include <Python.h>\n")
        include = sysconfig.get_path("include")
        tried = subprocess.run(  # noqa: S603
            [*command, "-fsyntax-only", "-I", include, str(source)], capture_output=True, check=False
        )
    return "no header files of Python" if tried.returncode else ""


def generated() -> list[Extension]:
    """Return the hot path as C files in build/c, each independent of the others."""
    from mypyc.build import mypycify

    folder = Path("build", "c")
    found: list[Extension] = mypycify(
        [*MYPY, *(f"amqpbroker/{name}.py" for name in HOT)],
        opt_level="1",
        debug_level="0",
        multi_file=True,
        group_name=GROUP,
        target_dir=str(folder),
    )
    main = folder / f"__native_{GROUP}.c"
    headers = [folder / f"__native_{GROUP}.h", folder / f"__native_internal_{GROUP}.h"]
    generated_c.separate(main, headers, sorted(path for path in folder.glob("__native_*.c") if path != main))
    return found


def extensions() -> list[Extension]:
    """Return the hot path, as C. Raises what keeps it from being that."""
    os.chdir(ROOT)
    found = generated()
    for extension in found:
        # mypyc turns warnings into errors, and newer compilers have more of them.
        extension.extra_compile_args = [word for word in extension.extra_compile_args if word != "-Werror"]
        if sys.platform != "win32":
            # No other library calls its functions by name, so its own calls need no address table.
            extension.extra_compile_args.append("-fvisibility=hidden")
            # GCC's analyses for warnings, which nobody needs about generated C, take more time than the rest.
            extension.extra_compile_args.append("-Wno-all")
    return found


class Interpreted:
    """The reason why the package is not compiled, if it is not: printed in the build's output, and stored in the
    package.
    """

    reason = ""

    @classmethod
    def because(cls, reason: str) -> None:
        if ASKED == "1":
            raise SystemExit(f"AMQPBROKER_COMPILE=1, but amqpbroker cannot be compiled: {reason}")
        cls.reason = reason
        print(
            f"\nWARNING: amqpbroker is not compiled, and several times slower: {reason}\n", file=sys.stderr, flush=True
        )

    @classmethod
    def write(cls, build_lib: str) -> None:
        if cls.reason:
            Path(build_lib, "amqpbroker", REASON).write_text(f"{cls.reason}\n")


class BuildPackage(build_py):
    def run(self) -> None:
        # setuptools keeps files of earlier builds, such as extensions of modules that are interpreted now.
        shutil.rmtree(Path(self.build_lib, "amqpbroker"), ignore_errors=True)
        super().run()
        if "bdist_wheel" in sys.argv:
            Interpreted.write(self.build_lib)


class BuildHot(build_ext):
    """Build the whole group or nothing, with all processors."""

    def build_extensions(self) -> None:
        folder = Path(self.build_temp)
        cache = None
        if OBJECTS:
            # mypyc's headers have the version of mypy, of which it is a part.
            identity = objects.identity(self.compiler.compiler_so, version("mypy"))
            cache = objects.Cache(Path(OBJECTS), identity)

        def compile_one(unit: objects.Unit) -> Path:
            (made,) = self.compiler.compile(
                [str(unit.source)],
                output_dir=str(folder),
                include_dirs=list(unit.include_dirs),
                extra_postargs=list(unit.arguments),
            )
            return Path(made)

        units = [
            objects.Unit(
                Path(source),
                tuple(extension.include_dirs),
                tuple(optimised(Path(source), extension.extra_compile_args)),
            )
            for extension in self.extensions
            for source in extension.sources
        ]
        made = objects.compile_all(units, compile_one, cache)
        for extension in self.extensions:
            extension.extra_objects = [str(made[Path(source)]) for source in extension.sources]
            extension.sources = []
        self.parallel = objects.processors()
        super().build_extensions()

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            print(error, file=sys.stderr)
            Interpreted.because("the C compiler failed when it was installed")
            for path in self.get_outputs():
                Path(path).unlink(missing_ok=True)
            self.extensions = []
            Interpreted.write(self.build_lib)


def compiled() -> list[Extension]:
    """Return the extensions that setuptools compiles."""
    if "bdist_wheel" not in sys.argv:
        return []
    if ASKED == "0":
        Interpreted.because("AMQPBROKER_COMPILE=0")
        return []
    if reason := missing():
        Interpreted.because(f"{reason} when it was installed")
        return []
    try:
        return extensions()
    except (Exception, SystemExit) as error:  # mypyc exits after printing an error
        print(error, file=sys.stderr)
        Interpreted.because("mypyc failed when it was installed")
        return []


if __name__ == "__main__":
    setup(ext_modules=compiled(), cmdclass={"build_py": BuildPackage, "build_ext": BuildHot})

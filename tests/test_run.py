"""tools/run: the start of `make run`, with scripts in the places of Python, make and the compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

RUN = Path(__file__).parent.parent / "tools" / "run"

#: Prints its number and path, as the broker; and what compiles beside it writes its argument into a file.
PYTHON = """#!/bin/sh
if [ "$2" = tools.compile_beside ]; then echo "$3" >beside.new; mv beside.new beside; exit; fi
echo "$$ ${PYTHONPATH:-checkout} $*"
"""


@pytest.fixture
def checkout(tmp_path):
    """Return a function that runs tools/run there, and returns what the broker printed, stderr and what make ran."""

    def script(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(*arguments, is_compiled=False, has_compiler=True, **environment):
        script(tmp_path / ".venv/bin/python", PYTHON)
        script(
            tmp_path / "bin/make", f'#!/bin/sh\necho "$*" >>made\n[ "$1" != --question ] || exit {not is_compiled:d}\n'
        )
        if has_compiler:
            script(tmp_path / "bin/a-compiler", "#!/bin/sh\n")
        (tmp_path / "tools").mkdir(exist_ok=True)
        shutil.copy(RUN, tmp_path / "tools")
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(
            [tmp_path / "tools/run", *arguments],
            env={"PATH": path, "CC": "a-compiler", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        number, imported, called = out.strip().split(" ", 2)
        assert int(number) == process.pid  # signals reach the broker
        assert called == " ".join(("-m amqpbroker serve", *arguments))
        made = tmp_path / "made"
        return process.pid, imported, err, made.read_text().splitlines() if made.exists() else []

    return run


def beside(tmp_path):
    path = tmp_path / "beside"
    return int(path.read_text()) if path.exists() else None


def test_first_start_runs_the_checkout_and_compiles_beside_the_broker(checkout, tmp_path):
    pid, imported, err, _ = checkout("--port", "5673")
    assert imported == "checkout"
    assert err.count("\n") == 1
    assert "while its core is compiled" in err
    assert beside(tmp_path) == pid


def test_start_with_an_up_to_date_core_uses_it(checkout, tmp_path):
    _, imported, err, _ = checkout(is_compiled=True)
    assert imported == f"{tmp_path}/build/compiled:{tmp_path}"
    assert err == ""
    assert beside(tmp_path) is None


def test_wait_compiles_before_the_start(checkout, tmp_path):
    _, imported, _, made = checkout(COMPILE="wait")
    assert made == ["--no-print-directory compiled"]
    assert imported.startswith(f"{tmp_path}/build/compiled:")
    assert beside(tmp_path) is None


@pytest.mark.parametrize("is_compiled", [False, True])
def test_zero_runs_the_checkout_and_compiles_nothing(checkout, tmp_path, is_compiled):
    _, imported, err, made = checkout(COMPILE="0", is_compiled=is_compiled)
    assert (imported, err, made) == ("checkout", "", [])
    assert beside(tmp_path) is None


def test_without_a_compiler_nothing_is_compiled_and_the_reason_is_said(checkout, tmp_path):
    _, imported, err, _ = checkout(has_compiler=False)
    assert imported == "checkout"
    assert err.count("\n") == 1
    assert "runs interpreted, because there is no C compiler" in err
    assert beside(tmp_path) is None

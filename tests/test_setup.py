"""Selection of the compiled modules, and builds that compile nothing."""

import ast
import importlib
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from setuptools import build_meta

import amqpbroker
from amqpbroker import compiled
from tests.sources import PACKAGE
from tests.test_layers import EVENT_LOOP, imported, layer_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def setup(monkeypatch):
    """Import setup.py, as for the build of a wheel."""
    spec = importlib.util.spec_from_file_location("amqpbroker_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["setup.py", "bdist_wheel"])
    monkeypatch.setattr(module, "ASKED", "")
    return module


def test_every_hot_module_exists_and_is_listed_once(setup):
    assert len(setup.HOT) == len(set(setup.HOT))
    assert [name for name in setup.HOT if not (PACKAGE / f"{name}.py").exists()] == []


def test_hottest_modules_are_hot_and_optimised_more(setup):
    assert set(setup.HOT) >= setup.HOTTEST
    levels = {
        name: setup.optimised(Path(f"build/c/__native_amqpbroker___{name.replace('/', '___')}.c"), ["-fPIC", "-O1"])
        for name in ("clock", "broker/queues/lines/fifo_line", "broker/queues/groups/key")
    }
    assert levels == {
        "clock": ["-fPIC", "-O2"],
        "broker/queues/lines/fifo_line": ["-fPIC", "-O2"],
        "broker/queues/groups/key": ["-fPIC", "-O1"],
    }


def test_compiled_modules_are_below_the_event_loop(setup):
    for name in setup.HOT:
        path = PACKAGE / f"{name}.py"
        assert layer_of(path) not in EVENT_LOOP
        assert "asyncio" not in {top.partition(".")[0] for top in imported(path)}


def test_module_that_is_compiled_checks_is_in_the_list(setup):
    """One module is checked to find out whether all are compiled."""
    assert f'find_spec("amqpbroker.{setup.HOT[0]}")' in Path(compiled.__file__).read_text()
    assert compiled.REASON.name == setup.REASON


@pytest.mark.skipif(not compiled.is_compiled(), reason="of compiled classes")
def test_no_compiled_class_supports_weak_references(setup):
    """mypyc drops one reference too many of such a class: one with a Python base class, such as ABC."""
    modules = [importlib.import_module(f"amqpbroker.{name.replace('/', '.')}") for name in setup.HOT]
    classes = {each for module in modules for each in vars(module).values() if inspect.isclass(each)}
    own = [each for each in classes if each.__module__ in {module.__name__ for module in modules}]
    assert len(own) > 50
    instantiated = [each for each in own if not getattr(each, "_is_protocol", False)]
    # Nothing refers weakly to exceptions, whose base is Python's.
    weak = [each for each in instantiated if each.__weakrefoffset__ and not issubclass(each, BaseException)]
    assert weak == []


def test_setup_py_has_no_metadata():
    (call,) = [
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "setup"
    ]
    assert {keyword.arg for keyword in call.keywords} == {"ext_modules", "cmdclass"}


@pytest.mark.parametrize("command", ["editable_wheel", "sdist", "egg_info", "build_ext", "develop"])
def test_setup_commands_other_than_a_wheel_build_compile_nothing(setup, monkeypatch, command):
    monkeypatch.setattr(sys, "argv", ["setup.py", command])
    monkeypatch.setattr(setup, "extensions", lambda: pytest.fail("compiled"))
    assert setup.compiled() == []
    assert setup.Interpreted.reason == ""


def test_wheel_build_compiles_the_extensions(setup, monkeypatch):
    monkeypatch.setattr(setup, "missing", str)
    monkeypatch.setattr(setup, "extensions", lambda: ["an extension"])
    assert setup.compiled() == ["an extension"]


@pytest.mark.parametrize(
    ("asked", "reason", "required"),
    [("", "", True), ("1", "", True), ("0", "", False), ("", "no C compiler", False)],
)
def test_a_build_requires_mypy_only_if_it_compiles(setup, monkeypatch, asked, reason, required):
    monkeypatch.setattr(setup, "ASKED", asked)
    monkeypatch.setattr(setup, "missing", lambda: reason)
    monkeypatch.setattr(setup.build_meta, "get_requires_for_build_wheel", lambda _: ["of setuptools"])
    assert setup.get_requires_for_build_wheel() == ["of setuptools", *(setup.COMPILER if required else [])]


def test_the_build_backend_has_all_hooks_of_setuptools(setup):
    hooks = [name for name in build_meta.__all__ if "build" in name]
    assert len(hooks) >= 8
    assert [name for name in hooks if not hasattr(setup, name)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"] == {
        "requires": ["setuptools>=77"],
        "build-backend": "setup",
        "backend-path": ["."],
    }


@pytest.mark.process
def test_an_interpreted_wheel_is_built_without_mypy(tmp_path):
    """An import of mypy or mypyc would fail, as in an environment without them."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "amqpbroker", source / "amqpbroker", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tools", source / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = """
import sys
sys.path.insert(0, ".")
sys.modules["mypy"] = sys.modules["mypyc"] = None
import setup
assert setup.get_requires_for_build_wheel() == []
print(setup.build_wheel("dist"))
"""
    environment = {**os.environ, "AMQPBROKER_COMPILE": "0"}
    command = [sys.executable, "-c", build]
    ran = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=True)
    wheel = ran.stdout.splitlines()[-1]
    assert wheel == f"amqpbroker-{amqpbroker.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(source / "dist" / wheel) as opened:
        assert opened.read(f"amqpbroker/{compiled.REASON.name}").decode() == "AMQPBROKER_COMPILE=0\n"


@pytest.mark.skipif(sys.platform == "win32", reason="of compilers of Unix")
def test_extension_is_compiled_with_hidden_symbol_visibility_and_without_warnings(setup, monkeypatch):
    made = setup.Extension("made", [], extra_compile_args=["-O3", "-Werror"])
    monkeypatch.setattr(setup, "generated", lambda: [made])
    monkeypatch.chdir(ROOT)
    assert setup.extensions() == [made]
    assert made.extra_compile_args == ["-O3", "-fvisibility=hidden", "-Wno-all"]


def test_environment_variable_turns_compilation_off(setup, monkeypatch):
    monkeypatch.setattr(setup, "ASKED", "0")
    monkeypatch.setattr(setup, "extensions", lambda: pytest.fail("compiled"))
    assert setup.compiled() == []
    assert setup.Interpreted.reason == "AMQPBROKER_COMPILE=0"


def test_without_a_compiler_the_build_warns_and_continues(setup, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler -pthread")
    assert setup.compiled() == []
    assert "WARNING: amqpbroker is not compiled" in capsys.readouterr().err
    (tmp_path / "amqpbroker").mkdir()
    setup.Interpreted.write(str(tmp_path))
    written = (tmp_path / "amqpbroker" / setup.REASON).read_text()
    assert written == "no C compiler when it was installed\n"


@pytest.mark.process
def test_missing_python_headers_are_reported(setup, monkeypatch):
    monkeypatch.setenv("CC", "false")
    assert setup.missing() == "no header files of Python"
    monkeypatch.setenv("CC", "true")
    assert setup.missing() == ""


@pytest.mark.parametrize("failure", [SystemExit(1), ImportError("no mypyc")])
def test_a_failure_of_mypyc_installs_the_package_interpreted(setup, monkeypatch, capsys, failure):
    def extensions():
        raise failure

    monkeypatch.setattr(setup, "missing", str)
    monkeypatch.setattr(setup, "extensions", extensions)
    assert setup.compiled() == []
    assert setup.Interpreted.reason == "mypyc failed when it was installed"
    assert f"{failure}\n" in capsys.readouterr().err


def test_a_compiler_failure_leaves_no_partial_extension(setup, monkeypatch, capsys, tmp_path):
    made = tmp_path / "half.so"
    made.touch()
    (tmp_path / "amqpbroker").mkdir()
    command = setup.BuildHot.__new__(setup.BuildHot)
    command.build_lib, command.extensions = str(tmp_path), ["an extension"]
    command.get_outputs = lambda: [str(made), str(tmp_path / "not made.so")]

    def run(self):
        raise RuntimeError("command 'cc' failed\nand much more")

    monkeypatch.setattr(setup.build_ext, "run", run)
    command.run()
    assert not made.exists()
    assert command.extensions == []
    written = (tmp_path / "amqpbroker" / setup.REASON).read_text()
    assert written == "the C compiler failed when it was installed\n"
    assert "command 'cc' failed\nand much more\n" in capsys.readouterr().err


def test_a_required_compilation_that_fails_is_an_error(setup, monkeypatch):
    monkeypatch.setattr(setup, "ASKED", "1")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(SystemExit, match="no C compiler"):
        setup.compiled()


def test_an_editable_install_compiles_nothing(tmp_path):
    """Run it as setuptools does; it leaves nothing in the checkout."""
    command = [sys.executable, str(ROOT / "setup.py"), "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []

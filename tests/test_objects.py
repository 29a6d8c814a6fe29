"""Objects of C files: compiled beside each other, and none twice."""

import os
import sys
import threading

import pytest

from tools.objects import UNUSED_DAYS, Cache, Unit, compile_all, identity, processors


@pytest.fixture
def compiler(tmp_path):
    """Return a function that writes an object for a unit, and the names of the sources that it was called for."""
    compiled = []

    def compile_one(unit):
        compiled.append(unit.source.name)
        path = tmp_path / f"{unit.source.stem}.o"
        path.write_text(f"object of {unit.source.read_text()}")
        return path

    return compile_one, compiled


def units(tmp_path, *arguments, **texts):
    for name, text in texts.items():
        (tmp_path / f"{name}.c").write_text(text)
    return [Unit(tmp_path / f"{name}.c", (), arguments) for name in texts]


def test_objects_are_returned_by_source(tmp_path, compiler):
    compile_one, compiled = compiler
    made = compile_all(units(tmp_path, a="a", b="bb"), compile_one, None)
    assert {source.name: path.read_text() for source, path in made.items()} == {
        "a.c": "object of a",
        "b.c": "object of bb",
    }
    assert sorted(compiled) == ["a.c", "b.c"]


def test_unchanged_file_is_not_compiled_again(tmp_path, compiler):
    compile_one, compiled = compiler
    for text in ("before", "after", "before"):
        made = compile_all(units(tmp_path, same="same", other=text), compile_one, Cache(tmp_path / "cache", "cc 1"))
        assert {source.name: path.read_text() for source, path in made.items()} == {
            "same.c": "object of same",
            "other.c": f"object of {text}",
        }
    assert sorted(compiled) == ["other.c", "other.c", "same.c"]


@pytest.mark.parametrize("change", ["compiler", "arguments"])
def test_another_compiler_or_other_arguments_compile_again(tmp_path, compiler, change):
    compile_one, compiled = compiler
    compile_all(units(tmp_path, "-O2", a="a"), compile_one, Cache(tmp_path / "cache", "cc 1"))
    other = Cache(tmp_path / "cache", "cc 2" if change == "compiler" else "cc 1")
    compile_all(units(tmp_path, "-O2" if change == "compiler" else "-O1", a="a"), compile_one, other)
    assert compiled == ["a.c", "a.c"]


def test_objects_that_no_build_uses_are_removed_after_days(tmp_path, compiler):
    compile_one, _ = compiler
    cache = Cache(tmp_path / "cache", "cc 1")
    (old,) = compile_all(units(tmp_path, a="old"), compile_one, cache).values()
    os.utime(old, (1000, 1000))
    cache.prune(1000 + UNUSED_DAYS * 86400)
    assert old.exists()
    cache.prune(1001 + UNUSED_DAYS * 86400)
    assert not old.exists()


def test_use_of_an_object_renews_it(tmp_path, compiler):
    compile_one, _ = compiler
    cache = Cache(tmp_path / "cache", "cc 1")
    (path,) = compile_all(units(tmp_path, a="a"), compile_one, cache).values()
    os.utime(path, (1000, 1000))
    compile_all(units(tmp_path, a="a"), compile_one, cache)
    assert path.exists()


def test_files_are_compiled_beside_each_other(tmp_path):
    number = processors()
    together = threading.Barrier(number, timeout=10)

    def compile_one(unit):
        together.wait()
        return unit.source

    compile_all(units(tmp_path, **{f"f{index}": "" for index in range(number)}), compile_one, None)


def test_failure_of_the_compiler_ends_the_build(tmp_path):
    def compile_one(unit):
        raise RuntimeError(unit.source.name)

    with pytest.raises(RuntimeError, match=r"a\.c"):
        compile_all(units(tmp_path, a="a"), compile_one, Cache(tmp_path / "cache", "cc 1"))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.process
def test_identity_has_the_version_of_the_compiler():
    """Python stands for a compiler."""
    found = identity([sys.executable], "mypy 2.4.1")
    assert f"Python {sys.version.split()[0]}\n" in found
    assert "mypy 2.4.1" in found
    assert found != identity([sys.executable], "mypy 2.4.2")

import os
import stat
import subprocess
import sys

import pytest

from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError


def own(directory):
    return Ownership(directory, Files())


def refusal(directory):
    with pytest.raises(StoreError) as raised:
        own(directory)
    return str(raised.value)


def test_new_data_directory_is_accessible_only_by_its_owner(tmp_path):
    directory = tmp_path / "a" / "b"
    owned = own(directory)
    assert owned.directory == directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert sorted(path.name for path in directory.iterdir()) == ["lock", "version"]
    assert (directory / "version").read_text() == "2\n"
    assert (directory / "lock").read_text() == f"{os.getpid()}\n"


def test_a_directory_has_one_owner(tmp_path):
    owned = own(tmp_path)
    assert refusal(tmp_path) == (
        f"{tmp_path} belongs to a running broker (pid {os.getpid()}); stop it, or choose another directory with"
        " --data-dir"
    )
    owned.close()
    own(tmp_path).close()


def test_owner_without_a_written_pid_still_excludes_others(tmp_path):
    own(tmp_path)
    (tmp_path / "lock").write_text("")
    assert refusal(tmp_path).startswith(f"{tmp_path} belongs to a running broker; ")


def test_an_owner_that_was_killed_owns_nothing(tmp_path):
    script = (
        "import os, sys, pathlib, tests.store.directory.test_ownership as t;"
        " o = t.own(pathlib.Path(sys.argv[1])); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert ended.returncode == 9
    assert (tmp_path / "lock").read_text() != ""
    own(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_an_existing_directory_is_kept(tmp_path):
    (tmp_path / "lost+found").mkdir()
    own(tmp_path).close()
    (tmp_path / "definitions.sqlite").write_bytes(b"rows")
    own(tmp_path)
    assert (tmp_path / "definitions.sqlite").read_bytes() == b"rows"


def test_a_newer_format_is_refused_and_the_directory_left_free(tmp_path):
    (tmp_path / "version").write_text("3\n")
    assert refusal(tmp_path) == (f"{tmp_path} has format 3, of a newer amqpbroker; this one reads up to format 2")
    (tmp_path / "version").write_text("1\n")
    own(tmp_path)


def test_an_older_format_is_migrated(tmp_path, caplog):
    (tmp_path / "version").write_text("1\n")
    with caplog.at_level("INFO"):
        own(tmp_path)
    assert (tmp_path / "version").read_text() == "2\n"
    assert caplog.messages == [f"{tmp_path}: migrated from format 1 to 2"]


@pytest.mark.parametrize("written", ["", "0\n", "one\n", "-1\n", "\xff"])
def test_an_invalid_version_is_refused(tmp_path, written):
    (tmp_path / "version").write_text(written)
    assert refusal(tmp_path).startswith(f"{tmp_path / 'version'}: ")
    assert refusal(tmp_path).endswith(" is not a version number")


def test_data_without_a_version_is_refused(tmp_path):
    (tmp_path / "journal").mkdir()
    assert refusal(tmp_path) == (
        f"{tmp_path} has journal, but no file named version; if `amqpbroker store copy` was interrupted, remove the"
        " directory, and copy again"
    )


def test_a_version_file_that_was_being_written_is_written_again(tmp_path):
    (tmp_path / "version.new").write_text("")
    own(tmp_path)
    assert (tmp_path / "version").read_text() == "2\n"
    assert not (tmp_path / "version.new").exists()


def test_a_path_that_is_not_a_directory_is_reported(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "below"):
        assert refusal(path).startswith(f"cannot use {path} for data: ")
        assert refusal(path).endswith("; choose another directory with --data-dir, or store nothing with --in-memory")

"""Contents of a source distribution."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Files that a build adds.
CREATED = ("setup.cfg", "PKG-INFO", "amqpbroker.egg-info/")


def tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a Git repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"Git does not list the files: {listed.stderr}")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_sdist_contains_exactly_the_files_of_the_repository(tmp_path):
    files = tracked()
    source = tmp_path / "source"
    for name in files:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path)
    build = "import sys; sys.path.insert(0, '.'); import setup; setup.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, check=True)
    (archive,) = (source / "dist").iterdir()
    with tarfile.open(archive) as opened:
        packed = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    assert {name for name in packed if not name.startswith(CREATED)} == files

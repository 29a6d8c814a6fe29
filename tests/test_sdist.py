"""The contents of a source distribution."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILT_FROM = {"pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"}
CREATED = ("setup.cfg", "PKG-INFO", "amqpbroker.egg-info/")


def test_the_sdist_has_everything_for_a_build_and_no_tests(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "amqpbroker", source / "amqpbroker", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests" / "test_something.py").touch()
    wanted = {str(path.relative_to(source)) for path in (source / "amqpbroker").rglob("*") if path.is_file()}
    build = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, check=True)
    (archive,) = (source / "dist").iterdir()
    with tarfile.open(archive) as opened:
        files = [member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()]
    assert {name for name in files if not name.startswith(CREATED)} == wanted | BUILT_FROM

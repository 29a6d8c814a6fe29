"""The package beside the oldest and the newest versions of what it requires."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools import oldest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Requirements with an upper bound, which can conflict with what an application requires.
BOUNDED = {"librt", "pamqp"}


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "amqpbroker-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        metadata = [
            "Name: amqpbroker",
            *(f"Requires-Dist: {each}" for each in ("click>=8.0", "pytest; extra == 'dev'")),
        ]
        opened.writestr("amqpbroker-1.dist-info/METADATA", "\n".join(metadata))
    return path


def test_only_listed_requirements_have_an_upper_bound():
    for each in PROJECT["dependencies"]:
        name, version = re.fullmatch(r"([\w-]+)([^;]*)(;.*)?", each).groups()[:2]
        assert re.fullmatch(r">=[\d.]+(,<[\d.]+)?", version.strip()), each
        assert ("<" in version) == (name in BOUNDED), each


def test_decision_record_lists_every_requirement_and_its_lower_bound():
    page = (ROOT / "docs" / "decisions" / "0057-dependencies.md").read_text()
    rows = dict(re.findall(r"^\| ([\w-]+) \| ([\d.]+)", page, re.MULTILINE))
    assert rows == dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(PROJECT["dependencies"]), re.MULTILINE))


def test_lowest_versions_of_the_wheel_requirements_are_installed(wheel, tmp_path):
    lowest = oldest.commands(tmp_path, Path("python"), wheel, newest=False)
    newest = oldest.commands(tmp_path, Path("python"), wheel, newest=True)
    assert (tmp_path / "requirements.in").read_text().splitlines()[1:] == ["click>=8.0"]
    assert [command for command in lowest if "lowest-direct" in command] == [lowest[1]]
    assert [command for command in newest if "lowest-direct" in command] == []
    assert lowest[-1][-1] == newest[-1][-1] == "interpreted"


@pytest.mark.explore
@pytest.mark.process
def test_wheel_runs_with_the_oldest_supported_dependency_versions(monkeypatch):
    """The other tests run with the newest ones."""
    monkeypatch.setenv("AMQPBROKER_COMPILE", "0")
    monkeypatch.setattr("sys.argv", ["oldest"])
    oldest.main()

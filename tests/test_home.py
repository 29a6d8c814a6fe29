"""Files of the project's home: workflows, forms, policies and metadata name what there is."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import amqpbroker
from tests.process import ENVIRONMENT

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
OTHERS = [ROOT / "action.yml", ROOT / ".pre-commit-config.yaml", ROOT / ".readthedocs.yaml", GITHUB / "dependabot.yml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

#: Actions with the versions that are known to exist.
ACTIONS = {
    "./",
    "actions/checkout@v4",
    "actions/download-artifact@v4",
    "actions/setup-node@v4",
    "actions/setup-python@v5",
    "actions/upload-artifact@v4",
    "docker/build-push-action@v6",
    "docker/login-action@v3",
    "docker/metadata-action@v5",
    "docker/setup-buildx-action@v3",
    "docker/setup-qemu-action@v3",
    "pypa/gh-action-pypi-publish@release/v1",
}


def loaded(path):
    return yaml.safe_load(path.read_text())


def jobs():
    return [(path.name, name, job) for path in WORKFLOWS for name, job in loaded(path)["jobs"].items()]


def steps():
    return [(f"{workflow}: {job}", step) for workflow, job, found in jobs() for step in found["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, *FORMS, *OTHERS], ids=lambda path: path.name)
def test_repository_configuration_files_are_valid_yaml(path):
    assert isinstance(loaded(path), dict)


def test_the_workflows_use_actions_of_known_versions():
    assert {step["uses"] for _, step in steps() if "uses" in step} == ACTIONS


def test_every_workflow_job_needs_only_existing_jobs():
    for path in WORKFLOWS:
        found = loaded(path)["jobs"]
        for name, job in found.items():
            needed = job.get("needs", [])
            assert {needed} if isinstance(needed, str) else set(needed) <= set(found), name
            assert "runs-on" in job
            assert all(("run" in step) != ("uses" in step) for step in job["steps"]), name


def test_every_make_target_path_and_module_of_the_workflows_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = json.loads((ROOT / "packages" / "npm" / "package.json").read_text())["scripts"]
    examples = json.loads((ROOT / "packages" / "npm" / "examples" / "package.json").read_text())["scripts"]
    for where, step in steps():
        command = step.get("run", "")
        directory = ROOT / step.get("working-directory", ".")
        assert directory.is_dir(), where
        assert set(re.findall(r"\bmake ([a-z-]+)", command)) <= targets, where
        assert set(re.findall(r"\bnpm run ([a-z-]+)", command)) <= {*scripts, *examples}, where
        for module in re.findall(r"-m ((?:tools|tests|amqpbroker)[\w.]*)", command):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), (where, module)
        for path in re.findall(r"(?<![\w/-])((?:tests|tools|packages|amqpbroker|\.ci)/[\w./-]+)", command):
            assert (ROOT / path).exists(), (where, path)


def test_the_tested_versions_of_python_are_those_of_the_classifiers():
    claimed = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.M
    )
    tested = [job["strategy"]["matrix"]["python"] for _, name, job in jobs() if name in ("quick", "oldest")]
    assert tested == [claimed, claimed]
    built = PROJECT["tool"]["cibuildwheel"]["build"].split()
    assert built == [f"cp{version.replace('.', '')}-*" for version in claimed]
    assert PROJECT["project"]["requires-python"] == f">={claimed[0]}"


def test_the_tested_systems_are_those_of_the_classifiers():
    claimed = [each for each in PROJECT["project"]["classifiers"] if each.startswith("Operating System")]
    (systems,) = [job["strategy"]["matrix"]["os"] for _, name, job in jobs() if name == "quick"]
    names = {"ubuntu-latest": "POSIX :: Linux", "macos-latest": "MacOS", "windows-latest": "Microsoft :: Windows"}
    assert sorted(claimed) == sorted(f"Operating System :: {names[system]}" for system in systems)


def test_only_publishing_jobs_may_write():
    """Trusted publishing needs an identity token, and the image the right to write packages."""
    granted = {name: job["permissions"] for _, name, job in jobs() if "permissions" in job}
    assert granted == {
        "pypi": {"id-token": "write"},
        "npm": {"contents": "read", "id-token": "write"},
        "image": {"contents": "read", "packages": "write"},
    }
    assert all(loaded(path)["permissions"] == {"contents": "read"} for path in WORKFLOWS)


def test_the_version_is_in_one_place():
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "amqpbroker.__version__"}
    assert re.search(
        rf'^__version__ = "{re.escape(amqpbroker.__version__)}"$', Path(amqpbroker.__file__).read_text(), re.M
    )


def test_the_urls_of_the_project_are_its_home():
    urls = PROJECT["project"]["urls"]
    assert set(urls) == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    home = urls["Homepage"]
    assert all(url.startswith(home) for name, url in urls.items() if name != "Documentation")
    assert urls["Changelog"] == f"{home}/blob/main/CHANGELOG.md"
    assert (ROOT / "CHANGELOG.md").exists()


def test_issue_forms_have_fields_with_unique_ids():
    for path in FORMS:
        if path.name == "config.yml":
            continue
        form = loaded(path)
        ids = [field["id"] for field in form["body"]]
        assert {"name", "description", "labels", "body"} == set(form)
        assert len(ids) == len(set(ids)) >= 3
        assert all(field["attributes"]["label"] for field in form["body"])


def test_the_hooks_of_pre_commit_are_the_tools_of_the_checks():
    repos = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [hook["id"] for repo in repos for hook in repo["hooks"]] == ["ruff-check", "ruff-format", "mypy"]


def test_read_the_docs_builds_the_site_of_this_project():
    found = loaded(ROOT / ".readthedocs.yaml")
    assert (ROOT / found["mkdocs"]["configuration"]).exists()
    assert "docs" in PROJECT["project"]["optional-dependencies"]


# --- the GitHub Action ------------------------------------------------------------------------------------------------


@pytest.fixture
def action(tmp_path):
    """Run the steps of action.yml with a command `amqpbroker` that is this checkout's, and end the broker."""
    command = tmp_path / "amqpbroker"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m amqpbroker "$@"\n')
    command.chmod(0o755)
    inputs = loaded(ROOT / "action.yml")["inputs"]

    def run(**given):
        environment = {
            **ENVIRONMENT,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            **{name.upper().replace("-", "_"): field["default"] for name, field in inputs.items()},
            **given,
        }
        script = ROOT / "tools" / "github-action"
        return subprocess.run([script], env=environment, capture_output=True, text=True, timeout=120)

    yield run
    ready = tmp_path / "amqpbroker-ready.json"
    if ready.exists():
        os.kill(json.loads(ready.read_text())["pid"], signal.SIGTERM)


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_github_action_starts_a_broker_and_outputs_its_urls(action, tmp_path):
    ran = action(PORT="0", MANAGEMENT_PORT="0", ARGUMENTS="--in-memory --set prometheus.tcp.port=none")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ready = json.loads((tmp_path / "amqpbroker-ready.json").read_text())
    assert (tmp_path / "output").read_text().splitlines() == [
        f"url=amqp://guest:guest@127.0.0.1:{ready['amqp'][0][1]}/",
        f"http-url=http://127.0.0.1:{ready['http'][0][1]}",
    ]
    assert "ready" in ran.stdout


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_github_action_shows_the_log_of_a_broker_that_does_not_start(action):
    ran = action(PORT="0", MANAGEMENT_PORT="0", ARGUMENTS="--set nonsense=1")
    assert ran.returncode == 1
    assert "::error::amqpbroker did not start" in ran.stderr
    assert "nonsense" in ran.stderr


def test_github_action_declares_the_inputs_its_script_reads():
    action = loaded(ROOT / "action.yml")
    (step,) = action["runs"]["steps"]
    script = (ROOT / "tools" / "github-action").read_text()
    assert os.access(ROOT / "tools" / "github-action", os.X_OK)
    assert set(step["env"]) == {name.upper().replace("-", "_") for name in action["inputs"]}
    assert all(f"${name}" in script or f"${{{name}" in script for name in step["env"])
    assert set(re.findall(r'echo "([\w-]+)=', script)) == set(action["outputs"])

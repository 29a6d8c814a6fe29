"""The README works as written, in a checkout and on the package index."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REPOSITORY = "https://github.com/amqpbroker/amqpbroker/blob/main/"
SITE = re.compile(r"https://amqpbroker\.readthedocs\.io/en/latest/([^\s)>#]*)")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.smoke
def test_hello_world_of_the_readme_runs(broker):
    (script,) = blocks("python")
    # The script says nothing of a port; on this machine the broker has not the default one.
    runner = f"import pika; pika.connection.Parameters.DEFAULT_PORT = {broker.port}; exec({script!r})"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", runner], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("Hello World!\n", "")


def test_commands_at_the_beginning_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"^(.+?)(?: +#.*)?$", blocks("sh")[0], re.MULTILINE)
    assert commands == ["make run", "make test", "uvx amqpbroker", "pipx run amqpbroker"]
    assert set(re.findall(r"\bmake ([a-z]+)[` ]", README)) <= targets


def test_the_package_has_the_command_that_uvx_and_pipx_run():
    project = (ROOT / "pyproject.toml").read_text()
    assert 'name = "amqpbroker"' in project
    assert 'amqpbroker = "amqpbroker.cli.entry:main"' in project


def test_links_are_absolute_and_lead_to_files_of_the_repository():
    """The package index shows the README, too, where a relative link leads nowhere."""
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert [link for link in links if not link.startswith("https://")] == []
    paths = [link.removeprefix(REPOSITORY) for link in links if link.startswith(REPOSITORY)]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("text", ["README.md", "SECURITY.md", "packages/npm/README.md"])
def test_links_to_the_site_lead_to_pages(text):
    pages = SITE.findall((ROOT / text).read_text())
    assert pages
    # mkdocs.yml has use_directory_urls off: a page is a file with the ending .html.
    assert [page for page in pages if not (ROOT / "docs" / page.replace(".html", ".md")).is_file()] == []

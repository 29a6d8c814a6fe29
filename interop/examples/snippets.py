"""The programs of docs/features, which are in two languages each, as blocks of those pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from interop.clients import HERE, ROOT

PAGES = sorted((ROOT / "docs" / "features").glob("*.md"))

TIMEOUT_S = 60.0

#: Marks a page of a feature that RabbitMQ does not have.
EXTENSION = "<!-- extension -->"

#: How each language's interpreter is told to read a program from its standard input. Node.js looks for modules where
#: it is started.
INTERPRETERS = {
    "python": [sys.executable, "-W", "error", "-"],
    "javascript": ["node", "--input-type=module", "-"],
    "php": ["php"],
}
DIRECTORY = HERE / "amqplib"


@dataclass(frozen=True)
class Snippet:
    """One block, under the heading of its section."""

    page: Path
    section: str
    language: str
    text: str


def read(page: Path) -> Iterator[Snippet]:
    """All of a page, in order."""
    for section, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL):
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield Snippet(page, section, language, block)


def run(snippet: Snippet, amqp_url: str, management_url: str) -> None:
    """Run with this broker in place of the local one. Raises RuntimeError with the output of the program."""
    program = _there(snippet.text, amqp_url, management_url)
    ran = subprocess.run(
        INTERPRETERS[snippet.language],
        cwd=DIRECTORY,
        input=program,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if ran.returncode or ran.stdout or ran.stderr:
        raise RuntimeError(f"{snippet.section}: it ended with {ran.returncode}: {ran.stdout}{ran.stderr}")


def _there(text: str, amqp_url: str, management_url: str) -> str:
    """The addresses that the pages have are the default ones."""
    port = urlsplit(amqp_url).port
    text = re.sub(r"amqp://(\w+:\w+@)?localhost(?=[/?'])", rf"amqp://\g<1>127.0.0.1:{port}", text)
    for default, there in (
        ('ConnectionParameters("localhost"', f'ConnectionParameters("127.0.0.1", {port}'),
        ("'localhost', 5672", f"'127.0.0.1', {port}"),
        ("http://localhost:15672", management_url),
    ):
        text = text.replace(default, there)
    return text

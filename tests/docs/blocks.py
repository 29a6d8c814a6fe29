"""The code blocks of the documentation, by section.

A section is what stands under a heading of the second level. A comment `<!-- not run: REASON -->` right above a block
says that it cannot be run. `title="NAME"` behind a block's language is the name of the file that it shows, or "Output".
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])

#: The title of a block that shows what the one before it prints.
OUTPUT = "Output"

#: A heading, a mark, or a whole block; what is in a block is none of the others.
PART = re.compile(
    r"^## (?P<heading>[^\n]+)$"
    r"|(?P<mark>^[ ]*<!-- not run:(?P<reason>[^>]*)-->\n)?"
    r"^(?P<indent>[ ]*)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One code block. line: that of its first line of code. not_run: why, if it is not to be run."""

    language: str
    title: str
    text: str
    line: int
    not_run: str | None = None


@dataclass(frozen=True)
class Section:
    """What stands under one heading; the heading is "" before the first one."""

    page: Path
    heading: str
    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.heading}"


def sections(page: Path) -> Iterator[Section]:
    """Those of a page that have code blocks."""
    heading, blocks = "", list[Block]()
    text = page.read_text()
    for part in PART.finditer(text):
        if part["heading"]:
            if blocks:
                yield Section(page, heading, tuple(blocks))
            heading, blocks = part["heading"], []
        else:
            language, _, rest = part["info"].strip().partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            line = text.count("\n", 0, part.start("text")) + 1
            code = textwrap.dedent(part["text"])
            blocks.append(Block(language, title[1] if title else "", code, line, part["reason"]))
    if blocks:
        yield Section(page, heading, tuple(blocks))

"""The code blocks of the documentation, by section.

A section is the text under a heading of the second level; a page with the comment `<!-- read as a whole: REASON -->` is
one section. The comment `<!-- not run: REASON -->` right above a block excludes it, and `<!-- needs: MODULE ... -->`
names the Python modules without which it is not run. `title="NAME"` behind a block's language is the name of the file
that it shows, or "Output".
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
    r"|(?:^[ ]*<!-- needs:(?P<needs>[^>]*)-->\n)?"
    r"(?:^[ ]*<!-- not run:(?P<reason>[^>]*)-->\n)?"
    r"^(?P<indent>[ ]*)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


#: The mark of a page whose sections build on one another.
WHOLE = re.compile(r"^<!-- read as a whole:[^>]+-->$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One code block. line: number of its first line of code. not_run: reason why it is not run. needs: names of the
    Python modules that it imports and that need not be installed."""

    language: str
    title: str
    text: str
    line: int
    not_run: str | None = None
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """The blocks under one heading. heading: "" before the first one, and for a page that is read as a whole."""

    page: Path
    heading: str
    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.heading}"


def sections(page: Path) -> Iterator[Section]:
    """Return the sections of a page that have code blocks."""
    heading, blocks = "", list[Block]()
    text = page.read_text()
    whole = WHOLE.search(text) is not None
    for part in PART.finditer(text):
        if part["heading"]:
            if whole:
                continue
            if blocks:
                yield Section(page, heading, tuple(blocks))
            heading, blocks = part["heading"], []
        else:
            language, _, rest = part["info"].strip().partition(" ")
            title = re.search(r'title="([^"]+)"', rest)
            line = text.count("\n", 0, part.start("text")) + 1
            code = textwrap.dedent(part["text"])
            needs = tuple((part["needs"] or "").split())
            blocks.append(Block(language, title[1] if title else "", code, line, part["reason"], needs))
    if blocks:
        yield Section(page, heading, tuple(blocks))

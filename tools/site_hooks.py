"""Hooks of mkdocs for links from docs/ to other files of the repository.

Some pages outside docs/ are on the site as well. Another file that a page links to is put there as it is. A link to a
folder becomes plain text, since a site has no folders. In the nav of mkdocs.yml a folder stands for all its pages.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

#: Pages outside docs/, and where they are on the site.
PAGES = {
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
    ROOT / "conformance" / "README.md": "conformance.md",
    ROOT / "interop" / "README.md": "interop-scripts.md",
}

#: A link to something relative: its text, its target, its anchor. Code blocks are matched first, and left alone.
LINK = re.compile(
    r"^```.*?^```|\[([^\]\n]*(?:\n[^\]\n]+)?)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)", re.MULTILINE | re.DOTALL
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = with_folders(config.nav)
    return config


def with_folders(nav: Any) -> Any:
    """The nav, with the pages of a folder in place of its name."""
    if isinstance(nav, list):
        return [with_folders(item) for item in nav]
    if isinstance(nav, dict):
        return {title: with_folders(item) for title, item in nav.items()}
    if nav.endswith("/"):
        pages = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / nav).glob("*.md"))
        return sorted(pages, key=lambda page: not page.endswith(("/index.md", "/README.md")))
    return nav


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(source)))
    for source in linked_files():
        files.append(File.generated(config, published(source), abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    source = Path(page.file.abs_src_path or DOCS / page.file.src_uri)

    def on_the_site(link: re.Match[str]) -> str:
        text, target, anchor = link.groups()
        if target is None:
            return link[0]
        to = Path(os.path.normpath(source.parent / target))
        if to.is_dir():
            return str(text)
        if not to.exists():
            return link[0]  # left for mkdocs to complain of
        place = os.path.relpath(published(to), os.path.dirname(page.file.src_uri) or ".")
        return f"[{text}]({place}{anchor or ''})"

    return LINK.sub(on_the_site, markdown)


def published(source: Path) -> str:
    """Return the path of a repository file on the site."""
    if source.is_relative_to(DOCS):
        return source.relative_to(DOCS).as_posix()
    return PAGES.get(source) or f"files/{source.relative_to(ROOT).as_posix()}"


def linked_files() -> list[Path]:
    """The files outside docs/ that pages link to, but for pages."""
    found = set()
    for page in [*DOCS.glob("**/*.md"), *PAGES]:
        for link in LINK.finditer(page.read_text()):
            to = Path(os.path.normpath(page.parent / (link[2] or ".")))
            if to.is_file() and not to.is_relative_to(DOCS) and to not in PAGES:
                found.add(to)
    return sorted(found)

"""Sentences of docstrings, comments, messages and pages that this project does not write.

usage: python -m tests.prose [PATH ...]

Prints each finding as path:line: rule: text, then the number for each folder, and ends with status 1 if there is any.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("amqpbroker", "tests", "conformance", "interop", "tools", "docs", "packages", ".github")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "setup.py")

#: A docstring begins with a verb ("Return") or a noun of the field ("Publisher confirms of one channel").
NO_BEGINNING = {"what", "whatever", "who", "whoever", "whose", "how", "whether", "those", "that", "of", "have", "has"}
NO_BEGINNING |= {"let", "with", "where"}

#: Subjects without a noun. A question may have one.
HEADLESS = re.compile(
    r"(?:What(?:ever)?|Who(?:ever)?|Whose|That which|Those (?:that|who|which|whose|whom|of|in|with)|All (?:that|who)|"
    r"Whether|Nothing that|Everything that|Everybody who|Anybody who|Nobody who|Anything that|He who)\b"
)
#: Found in each file that breaks a rule, and in few others: reading text is much faster than parsing code. Between two
#: words can be the end of a line, with the quotes or the number sign of the next one.
_SUSPECT = re.compile(
    HEADLESS.pattern.replace(" ", r"[\s#\"'rbf]+")
    + r"|[\"'][\s`\"'.,:;]*(?i:"
    + "|".join(sorted(NO_BEGINNING))
    + r")\b"
    + r"|[\"'](?i:"
    + HEADLESS.pattern.replace(" ", r"[\s\"'rbf]+")
    + r")"
)
#: Ends of sentences. An abbreviation is none.
_END = re.compile(
    r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!vs)(?<=[.!?])[\"')*_]*\s+(?=[\"'(*_`]*[A-Z])"
    r"|\n\s*\n|\n\s*(?:[-*|]|\d+\.)\s+|\|"
)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """A place whose text breaks a rule. path: from the root of the project."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Divide a text into sentences, each with the number of lines before it."""
    start = 0
    for end in [*_END.finditer(text), None]:
        stop = len(text) if end is None else end.start()
        sentence = text[start:stop]
        stripped = sentence.lstrip("\n \"'(*_`#:>-|")
        if stripped.strip():
            yield text.count("\n", 0, stop - len(stripped)), " ".join(stripped.split())
        start = stop if end is None else end.end()


def headless(text: str) -> Iterator[tuple[int, str]]:
    """Return the sentences whose subject has no noun."""
    for line, sentence in sentences(text):
        if HEADLESS.match(sentence) and not sentence.rstrip("*_\"')").endswith("?"):
            yield line, sentence[:100]


def in_python(path: str, source: str) -> Iterator[Finding]:
    """Check docstrings, comments, and messages of errors and logs."""
    if not _SUSPECT.search(source):
        return
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, Documented):
            yield from _in_docstring(path, node)
        elif isinstance(node, ast.Call):
            yield from _in_messages(path, node)
    for line, text in _comments(source):
        for offset, sentence in headless(text):
            yield Finding(path, line + offset, "headless comment", sentence)


def in_page(path: str, source: str) -> Iterator[Finding]:
    """Check the sentences of a page, without its code."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2", lambda found: "\n" * found[0].count("\n"), source, flags=re.M | re.S)
    for line, sentence in headless(text):
        yield Finding(path, line + 1, "headless sentence", sentence)


def _in_docstring(
    path: str, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[Finding]:
    text = ast.get_docstring(node, clean=False)
    if text is None or not text.strip():
        return
    first = node.body[0].lineno
    word = text.split()[0].strip("`\"'.,:;").lower()
    if word in NO_BEGINNING:
        yield Finding(path, first, "docstring's first word", " ".join(text.split())[:100])
        return
    for offset, sentence in headless(text):
        yield Finding(path, first + offset, "headless docstring", sentence)


#: Functions whose first text is for a user.
_LOGS = {"debug", "info", "warning", "error", "exception", "critical"}


def _in_messages(path: str, node: ast.Call) -> Iterator[Finding]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in _LOGS and not name.endswith(("Error", "Exit", "Exception")):
        return
    for argument in node.args:
        if isinstance(argument, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "X" for part in argument.values)
        elif isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            text = argument.value
        else:
            continue
        for _, sentence in headless(text[:1].upper() + text[1:]):
            yield Finding(path, argument.lineno, "headless message", sentence)


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Return runs of lines that are comments only as one text, with the number of the first line."""
    first = last = 0
    run: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        text = token.string.lstrip("#: ").removeprefix("---")
        alone = not token.line[: token.start[1]].strip()
        if run and alone and line == last + 1:
            run.append(text)
        else:
            if run:
                yield first, "\n".join(run)
            run, first = [text], line
        last = line if alone else -1
    if run:
        yield first, "\n".join(run)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Return the Python files and pages below the paths, without recorded and generated ones."""
    for path in paths:
        if path.is_dir():
            yield from sorted(each for suffix in ("*.py", "*.md") for each in path.rglob(suffix) if _is_written(each))
        elif path.exists():
            yield path


def _is_written(path: Path) -> bool:
    return not {"node_modules", "__pycache__", "vendor", ".venv", "build"} & set(path.parts)


def findings(paths: Iterable[Path]) -> Iterator[Finding]:
    """Check all files below the paths."""
    for path in files(paths):
        check = in_python if path.suffix == ".py" else in_page
        name = str(path.relative_to(ROOT))
        yield from check(name, path.read_text())


def main() -> int:
    paths = [Path(each).resolve() for each in sys.argv[1:]] or [ROOT / each for each in (*FOLDERS, *PAGES)]
    found = list(findings(paths))
    for each in found:
        print(each)
    counts = Counter(tuple(each.path.split("/")[:2]) for each in found)
    for folder, count in sorted(counts.items()):
        print(f"{count:6d} {'/'.join(folder)}")
    print(f"{len(found):6d} in all")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

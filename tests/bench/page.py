"""Generated parts of docs/performance.md, each between two comments with its name."""

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the named part of the page. Raises LookupError if the page does not have it."""
    page.write_text(replaced(page.read_text(), name, text))


def replaced(page: str, name: str, text: str) -> str:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise LookupError(f"the page has no part named {name}")
    return f"{before}{begin}{text.strip()}\n{end}{after}"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table; all columns except the first are figures."""
    lines = [head, ("---", *["--:"] * (len(head) - 1)), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def chart(name: str) -> str:
    """Return the line that the site replaces by a chart of the tables above it."""
    return f"<!-- chart: {name} -->"


def machine() -> str:
    """Return the day, the machine and the versions, for a sentence."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    versions = f"CPython {platform.python_version()}, uvloop {metadata.version('uvloop')}"
    return f"{datetime.date.today()}, {os.cpu_count()} cores of {model}; {system}; {versions}"


def load() -> str:
    """Return the load of the last minute, marked if it was high. A bench reads it before it causes load itself."""
    busy = os.getloadavg()[0]
    return f"load average before the run {busy:.1f}" + (" (**not a quiet machine**)" if busy > BUSY_LOAD else "")


BUSY_LOAD = 0.5

"""The site is built without a warning: every page is in the nav, every link and anchor leads somewhere."""

import re
import shlex
import subprocess
import sys

from tests.docs.blocks import ROOT

# As `make docs` does it.
SITE = re.search(r"^SITE := NO_MKDOCS_2_WARNING=1 \$\(PY\) (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_it_is_built_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    arguments = shlex.split(SITE[1])
    assert "--strict" in arguments
    assert "--quiet" not in arguments  # mkdocs counts no warnings then
    command = [sys.executable, *arguments, "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (tmp_path / (name.parent / "index.html" if name.stem == "README" else name)).exists(), name


def test_what_it_does_not_have_is_told_of():
    """Not as a mere remark, which is no warning."""
    config = (ROOT / "mkdocs.yml").read_text()
    validation = config.partition("\nvalidation:\n")[2].partition("\n\n")[0]
    levels = re.findall(r"^    (\w+): (\w+)$", validation, re.MULTILINE)
    assert len(levels) >= 7
    assert {level for _, level in levels} == {"warn"}

"""Every section of docs/features.md has a program that shows what it says; tests/docs runs them."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "features.md").read_text()

#: (section, program), in order.
PROGRAMS = re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_section_has_a_program_that_asserts_something_and_a_link():
    sections = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [section for section, _ in PROGRAMS] == sections
    assert all(re.search(r"^\s*assert ", program, re.MULTILINE) for _, program in PROGRAMS)
    anchors = [re.sub(r"[^a-z -]", "", section.lower()).replace(" ", "-") for section in sections]
    links = re.findall(r"^- \[(.+)\]\(#(.+)\)$", PAGE, re.MULTILINE)
    assert links == list(zip(sections, anchors, strict=True))

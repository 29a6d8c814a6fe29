"""Every program in docs/features.md runs as written, and shows what its section says."""

import re
from pathlib import Path

import pika
import pytest

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


@pytest.mark.parametrize(("section", "program"), PROGRAMS, ids=[section for section, _ in PROGRAMS])
def test_program(section, program, broker, monkeypatch):
    # The programs say nothing of a port; on this machine the broker has not the default one.
    monkeypatch.setattr(pika.connection.Parameters, "DEFAULT_PORT", broker.port)
    exec(compile(program, f"docs/features.md, {section}", "exec"), {})


def test_they_leave_nothing_behind(broker):
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        for name in sorted(set(re.findall(r'queue_declare\("([a-z.]+)"', PAGE))):
            channel = connection.channel()
            with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue"):
                channel.queue_declare(name, passive=True)

"""Every code block of the documentation is run or checked."""

import importlib.util

import httpx
import pika
import pytest

from amqpbroker.testing import Broker
from tests.docs.blocks import PAGES, ROOT, Section, sections
from tests.docs.running import Reader

#: Blocks that other tests run, which know the page better.
ELSEWHERE = {"docs/examples/README.md": {"console"}}  # tests/examples

#: Pages whose programs leave nothing behind.
LEAVE_NOTHING = "docs/features/"

#: Number of blocks that may state why they are not run.
MOST_NOT_RUN = 10

SECTIONS = [section for page in PAGES for section in sections(page)]


def work_through(section: Section, directory, monkeypatch):
    page = str(section.page.relative_to(ROOT))
    with Broker(management=True, prometheus_tcp_port=0) as broker:
        # Programs that say nothing of a port mean the default one.
        monkeypatch.setattr(pika.connection.Parameters, "DEFAULT_PORT", broker.port)
        monkeypatch.setenv("AMQP_URL", broker.url)
        # Nor need they say that this machine may be busy with something else.
        monkeypatch.setitem(httpx.Client.__init__.__kwdefaults__, "timeout", httpx.Timeout(60))
        Reader(section, broker, directory).read(ELSEWHERE.get(page, ()))
        if page.startswith(LEAVE_NOTHING):
            assert left(broker) == []


def left(broker):
    urls = [f"{broker.http_url}/api/{kind}" for kind in ("queues", "exchanges")]
    names = [thing["name"] for url in urls for thing in httpx.get(url, auth=("guest", "guest")).json()]
    return [name for name in names if name and not name.startswith("amq.")]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_code_blocks_of_a_documentation_section_work(section, tmp_path, monkeypatch):
    missing = {name for block in section.blocks for name in block.needs if importlib.util.find_spec(name) is None}
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    work_through(section, tmp_path, monkeypatch)


def test_number_of_documentation_blocks_that_are_not_run_is_limited():
    marked = [block for section in SECTIONS for block in section.blocks if block.not_run is not None]
    assert len(marked) <= MOST_NOT_RUN


def test_documentation_python_compiles_even_if_modules_are_missing():
    """Programs whose frameworks are not installed, too."""
    for section in SECTIONS:
        for block in section.blocks:
            if block.language == "python" and block.not_run is None:
                compile(block.text, f"{section.page}, line {block.line}", "exec")


def test_marks_of_documentation_blocks_are_parsed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- read as a whole: steps -->\n\n## One\n\n<!-- needs: django celery -->\n```python\n1\n```\n\n## Two\n\n"
        "    <!-- not run: why -->\n    ```python\n    2\n    ```\n"
    )
    (section,) = sections(page)
    needing, indented = section.blocks
    assert (needing.needs, needing.not_run, needing.text) == (("django", "celery"), None, "1\n")
    assert (indented.needs, indented.not_run, indented.text) == ((), " why ", "2\n")


def section_of(directory, info, text):
    page = directory / "page.md"
    page.write_text(f"# Page\n\n## Section\n\n```{info}\n{text}\n```\n")
    (section,) = sections(page)
    return section


WRONG = [
    ("python", "assert 1 == 2"),
    ("python", "import time\n```\n\n```python\ntme.sleep(0)"),
    ("python", 'print("hello")\n```\n\n```text title="Output"\nworld'),
    ("python", "def test_sum():\n    assert 1 + 1 == 3"),
    ('python title="program.py"', "# which nothing runs"),
    ("console", "$ echo hello\nworld"),
    ("console", "$ false"),
    ("console", "$ amqpbroker ctl list_ques\n..."),
    ("sh", "if true"),
    ("sh", "amqpbroker serve --prot 5672"),
    ("sh", "sleep 1 && amqpbroker ctl list_queues | amqpbroker ctl list_ques"),
    ("sh", "amqpbroker perf throughput --producers many"),
    ("sh", "FOO=bar make tset"),
    ("sh", "python -m conformence"),
    ("javascript", 'throw new Error("no")'),
    ("javascript", 'import x from "not-there"; let x'),
    ("json", "{'a': 1}"),
    ("yaml", "a: b: c"),
    ("ini", "heartbeet = 30"),
    ("xml", "<a><b></a>"),
    ("toml", "a = "),
    ("pyton", "1"),
]


@pytest.mark.parametrize(("info", "text"), WRONG)
def test_error_in_a_documentation_block_is_found(info, text, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.test_blocks.ROOT", tmp_path)
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    section = section_of(tmp_path, info, text)
    with pytest.raises(Exception):  # noqa: B017, PT011
        work_through(section, tmp_path, monkeypatch)


RIGHT = [
    ("python", 'import os\nprint("at", os.environ["AMQP_URL"])\n```\n\n```text title="Output"\nat amqp://...:5672/'),
    ("python", "import pytest\n```\n\n```python\npytest.importorskip"),
    ('json title="a.json"', "[1]\n```\n\n```console\n$ cat \\\n    a.json\n[1]\n$ false\n$ echo $?\n1"),
    ("console", "$ X=1\n$ sleep 60 &\n$ curl -s http://127.0.0.1:15672/api/version; echo; echo $X\n...\n1"),
    (
        "console",
        "$ amqpbroker ping\n127.0.0.1:5672 answers (... ms)\n$ curl -s localhost:15692/metrics | head -1\n# HELP ...",
    ),
]


@pytest.mark.parametrize(("info", "text"), RIGHT)
def test_correct_documentation_blocks_are_accepted(info, text, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.docs.test_blocks.ROOT", tmp_path)
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    work_through(section_of(tmp_path, info, text), tmp_path, monkeypatch)

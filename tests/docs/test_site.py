"""The site is built without a warning, and is read without a network, also from the disk."""

import re
import shlex
import subprocess
import sys

import pytest

from amqpbroker.testing.broker import Broker
from amqpbroker.testing.clock import BrokerClock
from amqpbroker.testing.faults.api import Faults
from tests.docs.blocks import ROOT
from tests.page.conftest import ARGUMENTS, chromium

# As `make docs` does it.
SITE = re.search(r"^SITE := NO_MKDOCS_2_WARNING=1 \$\(PY\) (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

#: Tags whose addresses a browser loads.
LOADED = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"|<link\b([^>]*)>""")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, and the output of its build."""
    arguments = shlex.split(SITE[1])
    assert "--strict" in arguments
    assert "--quiet" not in arguments  # mkdocs counts no warnings then
    directory = tmp_path_factory.mktemp("site")
    command = ["env", "NO_MKDOCS_2_WARNING=1", sys.executable, *arguments, "--site-dir", str(directory)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return directory, built.stderr


@pytest.fixture(scope="module")
def site(built):
    return built[0]


def test_documentation_site_is_built_without_warnings(built):
    """Every page is in the nav; every link and anchor leads somewhere."""
    directory, output = built
    assert "WARNING" not in output
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (directory / (name.parent / "index.html" if name.stem == "README" else name)).exists(), name


def test_pages_load_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        for address, link in LOADED.findall(page.read_text()):
            loaded = address or ("" if re.search("rel=.?(canonical|alternate|edit|next|prev)", link) else link)
            assert "//" not in loaded, f"{page.name}: {loaded}"


def test_search_finds_pages_that_are_opened_from_the_disk(site):
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.fill("input[name=query]", "PRECONDITION_FAILED inequivalent")
        page.focus("input[name=query]")
        page.wait_for_selector(".md-search-result__item", timeout=30_000)
        found = page.locator(".md-search-result__item h1").all_inner_texts()
        browser.close()
    assert "Troubleshooting" in found
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize(
    ("page", "source"),
    [
        ("tutorial.html", "docs/tutorial.md"),
        ("changelog.html", "CHANGELOG.md"),
        ("decisions/index.html", "docs/decisions/README.md"),
    ],
)
def test_each_page_links_to_its_source(site, page, source):
    edit = f"https://github.com/amqpbroker/amqpbroker/edit/main/{source}"
    assert f'href="{edit}"' in (site / page).read_text()


@pytest.mark.parametrize("documented", [Broker, BrokerClock, Faults])
def test_the_reference_has_every_public_method_of_the_testing_api(site, documented):
    page = (site / "reference" / "testing.html").read_text()
    names = [name for name, value in vars(documented).items() if name[0] != "_" and value.__doc__]
    assert len(names) > 3
    for name in names:
        assert f'id="{documented.__module__}.{documented.__name__}.{name}"' in page, name


def test_mkdocs_warns_about_everything_that_it_validates():
    """Not as a mere remark, which is no warning."""
    config = (ROOT / "mkdocs.yml").read_text()
    validation = config.partition("\nvalidation:\n")[2].partition("\n\n")[0]
    levels = re.findall(r"^    (\w+): (\w+)$", validation, re.MULTILINE)
    assert len(levels) >= 7
    assert {level for _, level in levels} == {"warn"}

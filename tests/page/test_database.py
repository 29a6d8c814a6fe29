"""The database that brokers share, as the overview shows it."""

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Subject, log_in, subject_on
from tests.postgresql import own_server
from tests.process import BrokerProcess

WARNING = "No commit waits for a standby"


@pytest.fixture(scope="module")
def server():
    with own_server() as server:
        yield server


@pytest.fixture(scope="module")
def subject(tmp_path_factory, server, browser):
    """A broker whose database has no standby."""
    directory = tmp_path_factory.mktemp("page")
    arguments = (
        "--management-port", "0", "--data-dir", str(directory / "data"), "--set", "store.lease=1500ms",
        "--store", server.url.replace("postgres@", "postgres:secret@"),
    )  # fmt: skip
    with BrokerProcess(directory, *arguments) as broker:
        subject = Subject(f"http://127.0.0.1:{broker.port_of('http')}/", broker.port, is_ours=True)
        with subject.api:
            yield subject


def card(page):
    return page.get_by_role("region", name="Database")


def test_overview_shows_the_database_without_its_password(page, server):
    expect(card(page)).to_contain_text(f"127.0.0.1:{server.port}/postgres")
    assert "secret" not in page.content()


def test_overview_warns_while_no_commit_waits_for_a_standby(page, server, subject):
    expect(card(page)).to_contain_text(WARNING)
    server.execute("ALTER SYSTEM SET synchronous_standby_names TO 'ANY 1 (*)'")
    server.execute("SELECT pg_reload_conf()")
    try:
        expect(card(page).get_by_text(WARNING)).to_have_count(0)
        expect(card(page)).to_contain_text("Wait for a standby")
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")
    expect(card(page)).to_contain_text(WARNING)


def test_overview_of_a_broker_without_a_database_shows_none(watched, tmp_path):
    with subject_on(tmp_path) as subject:
        page = watched.open(subject.url)
        log_in(page)
        expect(page.get_by_role("region", name="About")).to_be_visible()
        expect(card(page)).to_have_count(0)

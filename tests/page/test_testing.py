"""The panel for the clock and for faults, on brokers for tests only."""

import pytest
from playwright.sync_api import expect

from amqpbroker.testing import Broker
from amqpbroker.testing.faults.kinds import KINDS
from tests.page.conftest import Subject, log_in, subject_on

#: The browser.
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def broker(browser):
    with Broker(management=True) as broker:
        yield broker


@pytest.fixture(scope="module")
def subject(broker):
    subject = Subject(f"{broker.http_url}/", broker.port, is_ours=True)
    with subject.api:
        yield subject


def test_testing_page_advances_and_freezes_the_clock(visit, subject, broker):
    before = broker.clock.now()
    page = visit("#/testing")
    form = page.get_by_role("form", name="Advance clock")
    form.get_by_label("Advance by").fill("2")
    form.get_by_label("Unit").select_option("hours")
    form.get_by_role("button", name="Advance clock").click()
    expect(page.get_by_role("status").filter(has_text="advanced by 2 hours")).to_be_visible()
    assert (broker.clock.now() - before).total_seconds() >= 7200
    page.get_by_role("button", name="Freeze clock").click()
    expect(page.get_by_text("frozen", exact=True)).to_be_visible()
    assert subject.get("testing/clock")["frozen"] is True
    page.get_by_role("button", name="Resume clock").click()
    expect(page.get_by_text("running", exact=True)).to_be_visible()


def test_a_fault_is_added_triggered_and_removed(visit, subject, broker):
    page = visit("#/testing")
    form = page.get_by_role("form", name="Add fault")
    form.get_by_label("Fault", exact=True).select_option("nack")
    form.get_by_label("Only the user").fill("guest")
    form.get_by_role("button", name="+ Which publish").click()
    form.get_by_label("Value of publish").fill("3")
    form.get_by_role("button", name="Add fault").click()
    fault = page.get_by_role("row").filter(has_text="nack")
    expect(fault).to_contain_text("active")
    [shown] = subject.get("testing/faults")["faults"]
    assert (shown["kind"], shown["active"]) == ("nack", True)
    assert "guest" in shown["fault"]
    page.get_by_role("button", name="Remove fault").click()
    expect(fault).to_have_count(0)
    assert subject.get("testing/faults")["faults"] == []


def test_every_kind_of_fault_and_its_arguments_can_be_chosen(visit):
    page = visit("#/testing")
    form = page.get_by_role("form", name="Add fault")
    kinds = form.get_by_label("Fault", exact=True)
    offered = kinds.locator("option").evaluate_all("options => options.map(it => it.value)")
    assert sorted(offered) == sorted(KINDS)
    for kind in offered:
        kinds.select_option(kind)
        keys = form.locator(".chip[title]").evaluate_all("chips => chips.map(it => it.title)")
        assert set(keys) <= set(KINDS[kind].names()), kind


def test_testing_page_shows_the_error_for_a_wrong_fault(visit, subject):
    page = visit("#/testing")
    form = page.get_by_role("form", name="Add fault")
    form.get_by_role("button", name="+ Any").click()
    form.get_by_label("Name", exact=True).fill("nonsense")
    form.get_by_role("button", name="Add fault").click()
    expect(form.get_by_role("alert")).to_contain_text("nonsense")


def test_testing_page_exists_only_with_the_testing_flag(watched, tmp_path):
    with subject_on(tmp_path) as plain:
        page = watched.open(plain.url)
        log_in(page)
        page.get_by_role("heading", name="Overview", level=1).wait_for()
        navigation = page.get_by_role("navigation", name="Main")
        expect(navigation.get_by_role("link", name="Definitions")).to_be_visible()
        expect(navigation.get_by_role("link", name="Testing")).to_have_count(0)

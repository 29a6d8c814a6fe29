"""The tab of a dead letter queue that moves its messages back."""

import pytest

from tests.page.conftest import queue


@pytest.fixture
def ours(subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ has no redrive")
    return subject


def test_dead_letters_are_redriven_and_the_progress_is_shown(ours, visit):
    from playwright.sync_api import expect

    queue(ours, "graves")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "graves", "x-max-length": 1}
    queue(ours, "work", arguments=dead)
    ours.publish("work", "x", 4)
    page = visit("#/queues/%2F/graves")
    expect(page.get_by_role("tab", name="Move")).to_have_count(0)
    page.get_by_role("tab", name="Redrive").click()
    form = page.get_by_role("form", name="Redrive messages")
    form.get_by_label("Died because of").select_option("expired")
    form.get_by_role("button", name="Redrive messages").click()
    expect(page.get_by_text("0 moved, 0 left, 3 skipped")).to_be_visible()

    form.get_by_label("Died because of").select_option("maxlen")
    form.get_by_label("At most a second").fill("1")
    form.get_by_role("button", name="Redrive messages").click()
    meter = page.get_by_role("article").first.get_by_role("meter", name="Progress")
    expect(meter).to_have_attribute("aria-valuetext", "1 moved, 2 left")
    expect(meter).to_have_attribute("aria-valuenow", "33")
    page.get_by_role("button", name="Cancel redrive").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel redrive").click()
    expect(page.get_by_text("cancelled", exact=True)).to_be_visible()
    tasks = ours.get("queues/%2F/graves/redrive")
    assert [task["state"] for task in tasks] == ["CANCELLED", "COMPLETED"]


def test_error_of_a_redrive_is_shown(ours, visit):
    from playwright.sync_api import expect

    queue(ours, "graves")
    page = visit("#/queues/%2F/graves")
    page.get_by_role("tab", name="Redrive").click()
    form = page.get_by_role("form", name="Redrive messages")
    form.get_by_label("To another queue").fill("graves")
    form.get_by_role("button", name="Redrive messages").click()
    expect(form.get_by_role("alert")).to_contain_text("this is the queue itself")

"""Live messages: what `amqpbroker tail` shows, on the page."""

import pytest
from playwright.sync_api import expect

from tests.page.conftest import log_in, queue


@pytest.fixture(autouse=True)
def ours(subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ cannot trace for one queue")


def tails(subject):
    return [row["name"] for row in subject.get("queues") if row["name"].startswith("amqpbroker.tail.")]


def test_live_page_shows_messages_of_a_queue_without_removing_them(page, visit, subject):
    queue(subject, "watched")
    visit("#/queues/%2F/watched")
    page.get_by_role("main").get_by_role("link", name="Live messages").click()
    expect(page.get_by_text("Live: waiting for messages")).to_be_visible()
    subject.publish("watched", '{"order": 7}')
    message = page.get_by_role("article").first
    expect(message).to_contain_text("published")
    expect(message).to_contain_text("Routed to")
    expect(message.get_by_role("group", name="Payload")).to_have_text('{\n  "order": 7\n}')
    assert subject.get("queues/%2F/watched")["messages"] == 1

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").filter(has_text="Paused")).to_be_visible()
    subject.publish("watched", "missed")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    subject.publish("watched", "seen")
    expect(page.get_by_role("article")).to_have_count(2)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("article")).to_have_count(0)

    page.get_by_role("link", name="Show the queue").click()
    expect(page.get_by_role("heading", name="watched", level=1)).to_be_visible()
    page.wait_for_timeout(500)
    assert tails(subject) == []
    assert subject.get("vhosts/%2F")["tracing"] is False


def test_live_page_shows_messages_of_an_exchange_through_a_binding(page, visit, subject):
    subject.put("exchanges/%2F/shown", type="topic", durable=True)
    visit("#/live")
    page.get_by_label("Kind").select_option("exchange")
    page.get_by_role("combobox", name="Name").fill("shown")
    page.get_by_role("button", name="Show messages").click()
    expect(page.get_by_text("Live: waiting for messages")).to_be_visible()
    body = {"properties": {}, "routing_key": "a.b", "payload": "hello", "payload_encoding": "string"}
    subject.api.post("exchanges/%2F/shown/publish", json=body)
    expect(page.get_by_role("article").first).to_contain_text("a.b")
    assert subject.get("vhosts/%2F")["tracing"] is False


def test_a_user_without_the_right_to_trace_sees_no_messages_of_a_queue(watched, subject):
    queue(subject, "secret")
    before = tails(subject)
    subject.put("users/reader", password="reader", tags="management")
    subject.put("permissions/%2F/reader", configure=".*", write=".*", read=".*")
    page = watched.open(subject.url)
    log_in(page, "reader", "reader")
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    page.evaluate("location.hash = '#/live/%2F/queue/secret'")
    expect(page.get_by_role("alert").filter(has_text="Not allowed")).to_be_visible()
    subject.publish("secret", "x")
    page.wait_for_timeout(1000)
    expect(page.get_by_role("article")).to_have_count(0)
    assert set(tails(subject)) <= set(before)

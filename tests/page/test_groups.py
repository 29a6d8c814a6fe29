"""The message groups of a queue that have stopped, in Chromium."""

import pytest
from playwright.sync_api import expect

from tests.page.conftest import queue
from tests.page.test_page import confirm, say


@pytest.fixture
def table(page, subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ has no message groups")
    return page.get_by_role("table", name="Stopped message groups")


def publish(subject, name, payload, key):
    body = {
        "properties": {"headers": {"customer": key}},
        "routing_key": name,
        "payload": payload,
        "payload_encoding": "string",
    }
    subject.api.post("exchanges/%2F/amq.default/publish", json=body).raise_for_status()


def take(subject, name, count, ackmode):
    """Get messages, and return their payloads."""
    body = {"count": count, "ackmode": ackmode, "encoding": "auto"}
    answer = subject.api.post(f"queues/%2F/{name}/get", json=body)
    answer.raise_for_status()
    return [message["payload"] for message in answer.json()]


def stopped(subject, name, on_dead, **arguments):
    """Declare a queue in which the first messages of the groups A and B were rejected."""
    arguments |= {"x-group-header": "customer", "x-group-on-dead": on_dead}
    queue(subject, name, arguments=arguments)
    for key in "AB":
        for number in (1, 2):
            publish(subject, name, f"{key}{number}", key)
    assert take(subject, name, 2, "reject_requeue_false") == ["A1", "B1"]


def test_parked_groups_are_redriven_and_their_first_messages_discarded(page, visit, subject, table):
    stopped(subject, "parked", "park")
    visit("#/queues/%2F/parked")
    expect(table.get_by_role("row")).to_have_count(1 + 2)
    expect(table.get_by_role("row").nth(1)).to_contain_text("parked")
    expect(page.get_by_text("2 groups, 2 parked, 0 closed.")).to_be_visible()

    page.get_by_role("button", name="Redrive group A").click()
    confirm(page, "Redrive group")
    say(page, "The group A was redriven.")
    expect(table.get_by_role("row")).to_have_count(1 + 1)
    page.get_by_role("button", name="Discard the first message of group B").click()
    confirm(page, "Discard message")
    expect(page.get_by_text("No group has stopped.")).to_be_visible()
    assert take(subject, "parked", 3, "ack_requeue_false") == ["A1", "A2", "B2"]


def test_parked_messages_are_browsed(page, visit, subject, table):
    stopped(subject, "looked.into", "park")
    publish(subject, "looked.into", "C1", "C")
    visit("#/queues/%2F/looked.into")
    form = page.get_by_role("form", name="Browse messages")
    form.get_by_label("State").select_option("parked")
    form.get_by_role("button", name="Show messages").click()
    expect(page.get_by_text("4 messages found")).to_be_visible()
    expect(page.get_by_role("table", name="Messages in the queue")).not_to_contain_text("C1")


def test_closed_group_is_redriven_from_the_dead_letter_queue(page, visit, subject, table):
    queue(subject, "closed.dead")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "closed.dead"}
    stopped(subject, "closed", "follow", **dead)
    visit("#/queues/%2F/closed")
    expect(table.get_by_role("row").nth(1)).to_contain_text("closed")
    page.get_by_role("button", name="Redrive group A").click()
    confirm(page, "Redrive group")
    say(page, "The group A was redriven.")
    expect(table.get_by_role("row")).to_have_count(1 + 1)
    assert take(subject, "closed", 1, "ack_requeue_false") == ["A1"]
    assert take(subject, "closed", 1, "ack_requeue_false") == ["A2"]


def test_group_with_missing_dead_letters_is_redriven_without_them(page, visit, subject, table):
    queue(subject, "thinned.dead")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "thinned.dead"}
    stopped(subject, "thinned", "follow", **dead)
    assert take(subject, "thinned.dead", 1, "ack_requeue_false") == ["A1"]
    visit("#/queues/%2F/thinned")
    page.get_by_role("button", name="Redrive group A").click()
    confirm(page, "Redrive group")
    expect(page.get_by_text("1 of 2 dead letters of the group are missing").first).to_be_visible()
    page.get_by_role("button", name="Redrive the rest of group A").click()
    expect(page.get_by_text("Not found in the dead letter queues: 1 message.")).to_be_visible()
    confirm(page, "Redrive the rest")
    say(page, "The group A was redriven.")
    assert take(subject, "thinned", 1, "ack_requeue_false") == ["A2"]


def test_group_that_was_redriven_by_another_client_is_reported(page, visit, subject, table):
    stopped(subject, "raced", "park")
    visit("#/queues/%2F/raced")
    page.get_by_role("button", name="Redrive group A").click()
    subject.api.post("queues/%2F/raced/groups/redrive", json={"key": "A"}).raise_for_status()
    confirm(page, "Redrive group")
    say(page, "Not found. It may have been deleted.")


def test_progress_of_a_long_redrive_is_shown(page, visit, subject, table):
    queue(subject, "long.dead")
    stopped(subject, "long", "follow", **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "long.dead"})
    row = {"key": "A", "key_type": "string", "state": "closed", "since": 1, "messages": 100}
    running = {"state": "RUNNING", "moved": 100, "left": 900, "reason": None}

    def answer(route):
        items = [] if "parked" in route.request.url else [row | {"redrive": running}]
        route.fulfill(json={"items": items})

    page.route("**/groups?state=*", answer)
    page.route("**/groups/redrive", lambda route: route.fulfill(status=202, json={"messages": 100, "left": 900}))
    visit("#/queues/%2F/long")
    expect(table.get_by_role("row").nth(1)).to_contain_text("closed; redrive: 100 messages back, 900 left")
    page.get_by_role("button", name="Redrive group A").click()
    confirm(page, "Redrive group")
    say(page, "The redrive of the group A has started. The group waits until all messages are back.")

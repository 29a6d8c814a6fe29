"""The table of the messages in a queue, in Chromium."""

import pika
import pytest
from playwright.sync_api import expect

from tests.page.conftest import log_in, queue
from tests.page.test_page import confirm, say, wait_for_messages


@pytest.fixture
def form(page, subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ cannot show messages without consuming them")
    return page.get_by_role("form", name="Browse messages")


def publish(subject, name, payload, **headers):
    body = {
        "properties": {"headers": headers},
        "routing_key": name,
        "payload": payload,
        "payload_encoding": "string",
    }
    subject.api.post("exchanges/%2F/amq.default/publish", json=body).raise_for_status()


def show(form):
    form.get_by_role("button", name="Show messages").click()


def test_messages_are_searched_opened_and_discarded_without_being_consumed(page, visit, subject, form):
    name = queue(subject, "browsed")
    for i in range(120):
        publish(subject, name, f'{{"order": {i}}}', customer=str(i % 3))
    before = subject.get(f"queues/%2F/{name}")["messages"]
    visit(f"#/queues/%2F/{name}")
    show(form)
    table = page.get_by_role("table", name="Messages in the queue")
    expect(table.get_by_role("row")).to_have_count(1 + 50)
    page.get_by_role("button", name="Show more").click()
    expect(table.get_by_role("row")).to_have_count(1 + 100)
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_text("120 messages found, 120 examined")).to_be_visible()
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)

    form.get_by_label("Header", exact=True).fill("customer")
    form.get_by_label("Value of the header").fill("2")
    form.get_by_label("Text in the payload").fill('": 11}')
    show(form)
    expect(page.get_by_text("1 message found, 120 examined")).to_be_visible()
    page.get_by_role("button", name="Open message 12").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("group", name="Payload")).to_have_text('{\n  "order": 11\n}')
    expect(dialog).to_contain_text("customer 2")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert subject.get(f"queues/%2F/{name}")["messages"] == before

    page.get_by_label("Choose message 12", exact=True).check()
    page.get_by_role("button", name="Discard").click()
    confirm(page, "Discard messages")
    say(page, "1 message discarded.")
    wait_for_messages(subject, name, before - 1)
    show(form)
    expect(page.get_by_text("No message was found.")).to_be_visible()


def test_chosen_messages_are_copied_as_json(watched, browser, subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ cannot show messages without consuming them")
    name = queue(subject, "copied")
    publish(subject, name, "one")
    publish(subject, name, "two")
    page = watched.open(f"{subject.url}#/queues/%2F/{name}", permissions=["clipboard-read", "clipboard-write"])
    log_in(page)
    show(page.get_by_role("form", name="Browse messages"))
    page.get_by_role("button", name="Choose all").click()
    page.get_by_role("button", name="Copy as JSON").click()
    say(page, "2 messages copied as JSON.")
    copied = page.evaluate("async () => JSON.parse(await navigator.clipboard.readText())")
    assert [each["payload"] for each in copied] == ["one", "two"]


def test_unacknowledged_messages_show_who_holds_them(page, visit, subject, form):
    name = queue(subject, "held")
    publish(subject, name, "work")
    with pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", subject.amqp_port)) as connection:
        channel = connection.channel()
        channel.basic_consume(name, lambda *_: None, consumer_tag="worker-1")
        connection.process_data_events(0.5)
        visit(f"#/queues/%2F/{name}")
        form.get_by_label("State").select_option("unacked")
        show(form)
        row = page.get_by_role("table", name="Messages in the queue").get_by_role("row").nth(1)
        expect(row).to_contain_text("worker-1")
        page.get_by_label("Choose message 1").check()
        expect(page.get_by_role("button", name="Discard")).to_have_count(0)
        channel.cancel()


@pytest.fixture
def letters(subject, form):
    """Return the name of a queue with three messages that died in the queue "tasks"."""
    name = queue(subject, "letters")
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
    queue(subject, "tasks", arguments=dead)
    for number in range(3):
        publish(subject, "tasks", f"task {number}")
    body = {"count": 3, "ackmode": "reject_requeue_false", "encoding": "auto"}
    subject.api.post("queues/%2F/tasks/get", json=body).raise_for_status()
    wait_for_messages(subject, name, 3)
    yield name
    for each in ("tasks", name):
        subject.api.delete(f"queues/%2F/{each}")


def test_chosen_dead_letters_are_redriven(page, visit, subject, form, letters):
    visit(f"#/queues/%2F/{letters}")
    show(form)
    table = page.get_by_role("table", name="Messages in the queue")
    expect(page.get_by_role("button", name="Redrive", exact=True)).to_have_count(0)
    page.get_by_label("Choose message 1", exact=True).check()
    page.get_by_label("Choose message 3", exact=True).check()
    page.get_by_role("button", name="Redrive", exact=True).click()
    confirm(page, "Redrive messages")
    say(page, "2 messages redriven.")
    expect(table.get_by_role("row")).to_have_count(1 + 1)
    expect(table).to_contain_text("task 1")
    peeked = subject.api.post("queues/%2F/tasks/peek", json={}).json()["messages"]
    assert [message["payload"] for message in peeked] == ["task 0", "task 2"]
    assert subject.get(f"queues/%2F/{letters}")["messages"] == 1


def test_dead_letters_that_cannot_be_redriven_stay_in_the_table(page, visit, subject, form, letters):
    subject.api.delete("queues/%2F/tasks").raise_for_status()
    visit(f"#/queues/%2F/{letters}")
    show(form)
    page.get_by_role("button", name="Choose all").click()
    page.get_by_role("button", name="Redrive", exact=True).click()
    confirm(page, "Redrive messages")
    say(page, "0 messages redriven, 3 could not be moved: queue 'tasks' does not exist.")
    expect(page.get_by_text("3 messages found, 3 examined")).to_be_visible()
    expect(page.get_by_role("button", name="Discard")).to_have_count(0)


def test_messages_that_did_not_die_are_not_redriven(page, visit, subject, form):
    name = queue(subject, "alive")
    publish(subject, name, "work")
    visit(f"#/queues/%2F/{name}")
    show(form)
    page.get_by_role("button", name="Choose all").click()
    expect(page.get_by_role("button", name="Discard")).to_have_count(1)
    expect(page.get_by_role("button", name="Redrive", exact=True)).to_have_count(0)


def test_other_states_of_messages_are_shown(page, visit, subject, form):
    name = queue(subject, "later", arguments={"x-delivery-time-header": "due"})
    publish(subject, name, "now")
    publish(subject, name, "tomorrow", due=4_000_000_000_000)
    visit(f"#/queues/%2F/{name}")
    show(form)
    table = page.get_by_role("table", name="Messages in the queue")
    expect(table.get_by_role("row").nth(1)).to_contain_text("now")
    form.get_by_label("State").select_option("delayed")
    show(form)
    expect(table.get_by_role("row").nth(1)).to_contain_text("until")
    page.get_by_role("button", name="Open message 2").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delayed until")


def test_wide_messages_scroll_in_the_table_and_not_on_the_page(page, visit, subject, form):
    name = queue(subject, "wide")
    publish(subject, name, "x" * 1000, trace="y" * 300)
    visit(f"#/queues/%2F/{name}")
    show(form)
    table = page.get_by_role("table", name="Messages in the queue")
    expect(table.get_by_role("row")).to_have_count(1 + 1)
    page.set_viewport_size({"width": 700, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

"""The page of a stream: its offsets, and the reader of its messages."""

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.page.conftest import queue
from tests.page.test_browse import publish
from tests.page.test_page import say

STREAM = {"x-queue-type": "stream"}


@pytest.fixture
def ours(subject):
    if not subject.is_ours:
        pytest.skip("RabbitMQ cannot show messages without consuming them")
    return subject


@pytest.fixture
def reader(page):
    return page.get_by_role("form", name="Read messages")


def read(reader, start="First message"):
    reader.get_by_label("Begin at").select_option(label=start)
    if start not in ("Offset", "Time"):
        reader.get_by_role("button", name="Read messages").click()


def offsets(page):
    """Return the first and the last offset that are shown."""
    buttons = page.get_by_role("button", name="Open message")
    return buttons.first.inner_text(), buttons.last.inner_text()


def tile(page, label):
    return page.locator(".tile", has_text=label)


def filled(subject, name, count):
    queue(subject, name, arguments=STREAM)
    for number in range(count):
        publish(subject, name, f'{{"order": {number}}}', customer=str(number % 3))
    return name


def test_stream_is_declared_with_its_own_arguments(page, visit, ours):
    visit("#/queues")
    page.get_by_role("button", name="Add queue").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("logged")
    expect(dialog.get_by_role("button", name="+ Message TTL", exact=True)).to_be_visible()
    dialog.get_by_label("Type", exact=True).select_option("stream")
    expect(dialog.get_by_label("Durability")).to_have_count(0)
    expect(dialog.get_by_role("button", name="+ Message TTL", exact=True)).to_have_count(0)
    for title, argument, value in (
        ("Max age", "x-max-age", "7D"),
        ("Max length in bytes", "x-max-length-bytes", "1000000"),
        ("Segment size", "x-stream-max-segment-size-bytes", "50000"),
        ("Filter size", "x-stream-filter-size-bytes", "32"),
    ):
        dialog.get_by_role("button", name=f"+ {title}", exact=True).click()
        dialog.get_by_label(f"Value of {argument}").fill(value)
    dialog.get_by_role("button", name="Add queue").click()
    say(page, "The queue logged was added.")
    assert ours.get("queues/%2F/logged")["arguments"] == STREAM | {
        "x-max-age": "7D",
        "x-max-length-bytes": 1_000_000,
        "x-stream-max-segment-size-bytes": 50_000,
        "x-stream-filter-size-bytes": 32,
    }
    expect(page.get_by_role("row").filter(has_text="logged")).to_contain_text("stream")


def test_page_of_a_stream_shows_its_offsets_and_no_refused_actions(page, visit, ours):
    visit(f"#/queues/%2F/{filled(ours, 'shown', 3)}")
    for label, value in (("Messages", "3"), ("First offset", "0"), ("Last offset", "2"), ("Segments", "1")):
        expect(tile(page, label)).to_contain_text(value)
    expect(page.get_by_text("0 on ")).to_be_visible()
    expect(page.get_by_role("tab")).to_have_text(["Publish"])
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_visible()
    for name in ("Purge", "Get messages", "Move messages", "Show messages"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    assert ours.api.delete("queues/%2F/shown?if-empty=true").status_code == 204


def test_reader_of_a_stream_scrolls_in_both_directions(page, visit, reader, ours):
    visit(f"#/queues/%2F/{filled(ours, 'scrolled', 120)}")
    rows = page.get_by_role("table", name="Messages in the stream").get_by_role("row")
    later, earlier = (page.get_by_role("button", name=name, exact=True) for name in ("Show later", "Show earlier"))

    read(reader)
    expect(rows).to_have_count(1 + 50)
    assert offsets(page) == ("0", "49")
    expect(earlier).to_have_count(0)
    later.click()
    expect(rows).to_have_count(1 + 100)
    later.click()
    expect(page.get_by_text("120 messages found, 120 examined")).to_be_visible()
    newer = page.get_by_role("button", name="Show new messages")
    publish(ours, "scrolled", "newest")
    newer.click()
    expect(page.get_by_text("121 messages found, 121 examined")).to_be_visible()
    assert offsets(page) == ("0", "120")

    read(reader, "Last messages")
    expect(rows).to_have_count(1 + 50)
    assert offsets(page) == ("71", "120")
    earlier.click()
    expect(rows).to_have_count(1 + 100)
    earlier.click()
    expect(page.get_by_text("121 messages found, 121 examined")).to_be_visible()
    expect(earlier).to_have_count(0)
    assert offsets(page) == ("0", "120")

    page.get_by_role("button", name="Open message 11", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("group", name="Payload")).to_have_text('{\n  "order": 11\n}')
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert ours.get("queues/%2F/scrolled")["messages"] == 121


def test_earlier_messages_are_complete_when_they_are_more_than_an_answer(page, visit, reader, ours):
    queue(ours, "large", arguments=STREAM)
    for _ in range(60):
        publish(ours, "large", "x" * 60_000)
    visit("#/queues/%2F/large")
    read(reader, "Offset")
    reader.get_by_label("First offset").fill("55")
    reader.get_by_role("button", name="Read messages").click()
    rows = page.get_by_role("table", name="Messages in the stream").get_by_role("row")
    expect(rows).to_have_count(1 + 5)
    page.get_by_role("button", name="Show earlier", exact=True).click()
    expect(page.get_by_text("55 messages found, 55 examined")).to_be_visible()
    assert offsets(page) == ("5", "59")


def test_reader_of_a_stream_begins_at_an_offset_or_a_time_and_filters(page, visit, reader, ours):
    visit(f"#/queues/%2F/{filled(ours, 'sought', 60)}")
    read(reader, "Offset")
    reader.get_by_label("First offset").fill("57")
    reader.get_by_role("button", name="Read messages").click()
    expect(page.get_by_text("3 messages found, 3 examined")).to_be_visible()
    reader.get_by_label("Header", exact=True).fill("customer")
    reader.get_by_label("Value of the header").fill("2")
    reader.get_by_role("button", name="Read messages").click()
    expect(page.get_by_text("1 message found, 3 examined")).to_be_visible()
    page.get_by_role("button", name="Show earlier").click()
    expect(page.get_by_text("18 messages found, 53 examined")).to_be_visible()
    page.get_by_role("button", name="Show earlier").click()
    expect(page.get_by_text("20 messages found, 60 examined")).to_be_visible()

    read(reader, "Time")
    now = datetime.now().replace(microsecond=0)
    for time, found in (
        (now - timedelta(hours=1), "20 messages found, 60"),
        (now + timedelta(hours=1), "0 messages found, 0"),
    ):
        reader.get_by_label("Stored since").fill(time.isoformat())
        reader.get_by_role("button", name="Read messages").click()
        expect(page.get_by_text(f"{found} examined")).to_be_visible()

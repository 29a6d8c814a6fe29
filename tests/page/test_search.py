"""Search over everything, opened by Ctrl-K."""

import pika
from playwright.sync_api import expect

from tests.page.conftest import queue


def test_search_finds_everything_by_keyboard(page, subject):
    queue(subject, "searched.queue")
    subject.put("exchanges/%2F/searched.exchange", type="topic", durable=True)
    subject.put("users/searched", password="secret", tags="")
    subject.put("policies/%2F/searched.policy", pattern="^none$", definition={"max-length": 9})
    subject.put("operator-policies/%2F/searched.limit", pattern="^none$", definition={"max-length": 9})
    shovel = {
        "src-uri": "amqp://",
        "src-queue": "searched.queue",
        "dest-uri": "amqp://",
        "dest-queue": "searched.queue",
    }
    subject.put("parameters/shovel/%2F/searched.shovel", value=shovel)
    properties = {"connection_name": "searched client"}
    parameters = pika.ConnectionParameters("127.0.0.1", subject.amqp_port, client_properties=properties)
    connection = pika.BlockingConnection(parameters)
    connection.channel()
    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog", name="Search")
    expect(dialog.get_by_role("combobox")).to_be_focused()
    expect(dialog.get_by_role("option", name="Page Channels")).to_be_visible()
    page.keyboard.type("searched")
    results = (
        *("Queue searched.queue", "Exchange searched.exchange", "User searched", "Connection searched client"),
        *("Policy searched.policy", "Operator policy searched.limit", "Shovel searched.shovel /"),
    )
    for result in results:
        expect(dialog.get_by_role("option", name=result)).to_be_visible(timeout=20_000)
    channel = dialog.get_by_role("option", name="Channel ").filter(has_text="searched client")
    expect(channel).to_be_visible(timeout=20_000)
    page.keyboard.press("ArrowDown")
    expect(dialog.get_by_role("option", selected=True)).to_contain_text("searched.exchange")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="searched.exchange", level=1)).to_be_visible()
    connection.close()

    page.keyboard.press("Control+k")
    page.keyboard.type("no such thing")
    expect(dialog.get_by_text("Nothing is called")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    for path in ("users/searched", "policies/%2F/searched.policy", "operator-policies/%2F/searched.limit"):
        subject.api.delete(path)
    subject.api.delete("parameters/shovel/%2F/searched.shovel")

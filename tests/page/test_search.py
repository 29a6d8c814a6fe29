"""Search over everything, opened by Ctrl-K."""

import re

import pika
from playwright.sync_api import expect

from tests.page.conftest import log_in, queue

POLICY = {"pattern": "^searched", "definition": {"max-length": 10}, "apply-to": "queues", "priority": 0}
SHOVEL = {"src-uri": "amqp://", "src-queue": "searched.queue", "dest-uri": "amqp://", "dest-queue": "searched.target"}


def test_search_finds_everything_by_keyboard(page, subject):
    queue(subject, "searched.queue")
    subject.put("exchanges/%2F/searched.exchange", type="topic", durable=True)
    subject.put("users/searched", password="secret", tags="")
    properties = {"connection_name": "searched client"}
    parameters = pika.ConnectionParameters("127.0.0.1", subject.amqp_port, client_properties=properties)
    connection = pika.BlockingConnection(parameters)
    connection.channel()
    subject.put("policies/%2F/searched.policy", **POLICY)
    subject.put("operator-policies/%2F/searched.limit", **POLICY)
    page.keyboard.press("Control+k")
    dialog = page.get_by_role("dialog", name="Search")
    expect(dialog.get_by_role("combobox")).to_be_focused()
    expect(dialog.get_by_role("option", name="Page Channels")).to_be_visible()
    page.keyboard.type("searched")
    # The results of the first letter have everything below, too.
    expect(dialog.get_by_role("option", name="Page Channels")).to_have_count(0)
    for result in (
        "Queue searched.queue",
        "Exchange searched.exchange",
        "User searched",
        "Connection searched client",
        "Channel searched client (1)",
        "Policy searched.policy",
        "Operator policy searched.limit",
    ):
        expect(dialog.get_by_role("option", name=result)).to_be_visible(timeout=20_000)
    page.keyboard.press("ArrowDown")
    expect(dialog.get_by_role("option", selected=True)).to_contain_text("searched.exchange")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="searched.exchange", level=1)).to_be_visible()
    connection.close()

    page.keyboard.press("Control+k")
    expect(dialog.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("no such thing")
    expect(dialog.get_by_text("Nothing is called")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    for path in ("users/searched", "policies/%2F/searched.policy", "operator-policies/%2F/searched.limit"):
        subject.api.delete(path)


def test_search_results_lead_to_policies_channels_and_shovels(page, subject):
    subject.put("policies/%2F/found.policy", **POLICY)
    subject.put("operator-policies/%2F/found.limit", **POLICY)
    properties = {"connection_name": "found client"}
    parameters = pika.ConnectionParameters("127.0.0.1", subject.amqp_port, client_properties=properties)
    with pika.BlockingConnection(parameters) as connection:
        connection.channel()
        open_result(page, "found", "Policy found.policy")
        expect(page.get_by_role("heading", name="found.policy", level=1)).to_be_visible()
        open_result(page, "found", "Operator policy found.limit")
        expect(page.get_by_role("heading", name="found.limit", level=1)).to_be_visible()
        open_result(page, "found", "Channel found client (1)")
        expect(page.get_by_role("heading", name="(1)", level=1)).to_be_visible()
        # A list of one virtual host is asked for by another address, and is not paged.
        page.get_by_label("Virtual host").select_option("/")
        open_result(page, "found", "Channel found client (1)")
        open_result(page, "found", "Policy found.policy")
    if subject.is_ours:
        for name in ("found.first", "found.second"):
            subject.put(f"parameters/shovel/%2F/{name}", value=SHOVEL)
        open_result(page, "found", "Shovel found.second")
        expect(page.get_by_role("heading", name="Shovels", level=1)).to_be_visible()
        expect(page.locator("tr[aria-current]")).to_contain_text("found.second")
        for name in ("found.first", "found.second"):
            subject.api.delete(f"parameters/shovel/%2F/{name}")
    for path in ("policies/%2F/found.policy", "operator-policies/%2F/found.limit"):
        subject.api.delete(path)


def test_search_finds_only_what_the_user_may_see(watched, subject):
    queue(subject, "guarded.queue")
    subject.put("policies/%2F/guarded.policy", **POLICY)
    subject.put("operator-policies/%2F/guarded.limit", **POLICY)
    results = {
        "management": ["guarded.queue"],
        "policymaker": ["guarded.queue", "guarded.policy"],
        "administrator": ["guarded.queue", "guarded.policy", "guarded.limit"],
    }
    if subject.is_ours:
        subject.put("parameters/shovel/%2F/guarded.shovel", value=SHOVEL)
        results["administrator"].append("guarded.shovel")
    for tag, names in results.items():
        subject.put("users/seeker", password="seeker", tags=tag)
        subject.put("permissions/%2F/seeker", configure=".*", write=".*", read=".*")
        page = watched.open(subject.url)
        log_in(page, "seeker", "seeker")
        page.get_by_role("heading", name="Overview", level=1).wait_for()
        search(page, "guarded")
        # A shovel has connections and channels that carry its name.
        objects = (
            page.get_by_role("listbox")
            .get_by_role("option")
            .filter(has_not_text=re.compile(r"^\s*(Connection|Channel)"))
        )
        expect(objects.locator(".result-name")).to_have_text(names)
    if subject.is_ours:
        subject.api.delete("parameters/shovel/%2F/guarded.shovel")
    for path in ("users/seeker", "policies/%2F/guarded.policy", "operator-policies/%2F/guarded.limit"):
        subject.api.delete(path)


def search(page, text):
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog", name="Search").get_by_role("combobox")).to_be_focused()
    page.keyboard.type(text)


def open_result(page, text, result):
    search(page, text)
    page.get_by_role("option", name=re.compile(f"^{re.escape(result)}")).click()
    expect(page.get_by_role("dialog", name="Search")).to_have_count(0)

"""A kind of queue that is a row of the table of kinds can be chosen on the page, which names none."""

import pytest
from playwright.sync_api import expect

from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.testing import Broker
from tests.broker.queues.ring import RING
from tests.page.conftest import Subject

#: The browser.
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def subject(browser):
    KINDS["ring"] = RING
    try:
        with Broker(management=True) as broker:
            subject = Subject(f"{broker.http_url}/", broker.port, is_ours=True)
            with subject.api:
                yield subject
    finally:
        del KINDS["ring"]


def opened(page, button):
    page.get_by_role("button", name=button).first.click()
    return page.get_by_role("dialog")


def test_queue_of_a_custom_type_can_be_added_on_the_page(visit, subject):
    dialog = opened(visit("#/queues"), "Add queue")
    dialog.get_by_label("Name", exact=True).fill("latest")
    dialog.get_by_label("Type", exact=True).select_option("ring")
    dialog.get_by_role("button", name="Add queue").click()
    expect(dialog).to_have_count(0)
    assert subject.get("queues/%2F/latest")["type"] == "ring"


def test_custom_queue_type_can_be_the_default_of_a_virtual_host(visit, subject):
    dialog = opened(visit("#/vhosts"), "Add virtual host")
    dialog.get_by_label("Name", exact=True).fill("rings")
    dialog.get_by_label("Default queue type").select_option("ring")
    dialog.get_by_role("button", name="Add virtual host").click()
    expect(dialog).to_have_count(0)
    assert subject.get("vhosts/rings")["default_queue_type"] == "ring"


@pytest.mark.parametrize(("button", "kind"), [("Add policy", "policies"), ("Add operator policy", "operator-policies")])
def test_policy_can_apply_to_a_custom_queue_type(visit, subject, button, kind):
    dialog = opened(visit("#/policies"), button)
    dialog.get_by_label("Name", exact=True).fill("short")
    dialog.get_by_label("Pattern").fill("^latest$")
    dialog.get_by_label("Applies to").select_option(label="Ring queues")
    dialog.get_by_role("button", name="+ Max length", exact=True).click()
    dialog.get_by_label("Value of max-length").fill("5")
    dialog.get_by_role("button", name=button).click()
    expect(dialog).to_have_count(0)
    assert subject.get(f"{kind}/%2F/short")["apply-to"] == "ring_queues"

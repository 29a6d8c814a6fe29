"""The page of a policy: the queues and exchanges that it applies to."""

from playwright.sync_api import expect

from tests.page.conftest import queue


def test_a_policy_shows_what_it_applies_to(page, visit, subject):
    for name in ("applied.one", "applied.two", "applied.other"):
        queue(subject, name)
    subject.put("exchanges/%2F/applied.exchange", type="topic", durable=True)
    policy = {"definition": {"max-length": 10}, "apply-to": "queues"}
    subject.put("policies/%2F/wide", pattern=r"^applied\.", priority=1, **policy)
    subject.put("policies/%2F/narrow", pattern=r"^applied\.other$", priority=2, **policy)
    visit("#/policies")
    page.get_by_role("link", name="wide").click()
    expect(page.get_by_role("heading", name="wide", level=1)).to_be_visible()
    expect(page.get_by_text("applies to 2 objects")).to_be_visible()
    row = page.get_by_role("row")
    expect(row.filter(has_text="applied.one")).to_contain_text("wide")
    expect(row.filter(has_text="applied.other")).to_contain_text("narrow has precedence")
    expect(row.filter(has_text="applied.exchange")).to_have_count(0)
    page.get_by_role("link", name="applied.two").click()
    expect(page.get_by_role("heading", name="applied.two", level=1)).to_be_visible()


def test_an_operator_policy_shows_what_it_applies_to(page, visit, subject):
    queue(subject, "operated")
    definition = {"pattern": "^operated$", "definition": {"max-length": 10}, "apply-to": "queues", "priority": 0}
    subject.put("operator-policies/%2F/limits", **definition)
    visit("#/operator-policies/%2F/limits")
    expect(page.get_by_role("row").filter(has_text="operated")).to_contain_text("limits")

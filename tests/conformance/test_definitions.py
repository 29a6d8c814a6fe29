from conformance.definitions import SECTIONS, passed_on, sample


class Management:
    """A broker's API that exports what it was given, after `change`."""

    def __init__(self, change):
        self.change = change

    def call(self, method, path, body=None):
        if method == "POST":
            self.document = self.change(body)
            return None
        return self.document


def passed(monkeypatch, *changes):
    brokers = {str(number): Management(change) for number, change in enumerate(changes)}
    monkeypatch.setattr("conformance.definitions.Management", lambda url: brokers[url])
    return passed_on({"users": [{"name": "a"}, {"name": "b"}], "queues": [{"name": "q"}]}, list(brokers))


def same(document):
    return document


def test_definitions_in_a_different_order_are_no_difference(monkeypatch):
    def turned(document):
        return document | {"users": document["users"][::-1]}

    assert passed(monkeypatch, same, turned, same) == []


def test_lost_and_added_definitions_are_reported(monkeypatch):
    def changed(document):
        return document | {"queues": [{"name": "other"}]}

    assert passed(monkeypatch, same, changed) == ['1: queues - {"name": "q"}', '1: queues + {"name": "other"}']


def test_sample_definitions_have_an_entry_in_every_section():
    assert all(sample()[section] for section in SECTIONS)

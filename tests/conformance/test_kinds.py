"""The lists of cases that are run on further kinds of queue belong together with their recordings."""

from functools import partial

import pytest

from amqpbroker.broker.queues.kinds import CLASSIC, STREAM
from amqpbroker.broker.queues.kinds import KINDS as QUEUE_KINDS
from conformance import kinds, registry, transcript
from conformance.errors import UnsuitableCaseError
from conformance.purpose import is_on_purpose

#: Kinds of queue beside the one that the cases were written for. The cases take messages out of queues, so streams have
#: cases of their own.
HERE = [name for name, kind in QUEUE_KINDS.items() if kind not in (CLASSIC, STREAM)]

CASES = {case.id for case in registry.load()}


def test_every_kind_of_queue_has_its_contract():
    assert sorted(kinds.KINDS) == sorted(HERE)


def recorded(folder):
    return {str(file.relative_to(folder).with_suffix("")) for file in folder.glob("*/*.json")}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_case_list_of_a_queue_kind_names_existing_cases(kind):
    assert len(kinds.suitable(kind)) > 100
    assert kinds.rows(kind).keys() <= CASES


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_recording_of_a_queue_kind_differs_from_that_of_classic_queues(kind):
    found = recorded(kinds.folder(kind, meant=False))
    assert found <= set(kinds.suitable(kind))
    for case_id in found:
        version, own = kinds.load(kind, case_id)
        assert version == "RabbitMQ 4.0.5"
        assert transcript.difference(kinds.load("", case_id)[1], own), case_id


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_intended_differences_of_a_queue_kind_are_recorded_and_documented(kind):
    on_purpose = kinds.on_purpose(kind)
    assert recorded(kinds.folder(kind, meant=True)) == set(on_purpose)
    assert [other for other in on_purpose.values() if not is_on_purpose(other)] == []


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_case_skipped_for_a_queue_kind_has_a_reason(kind):
    assert all(text for mark, text in kinds.rows(kind).values() if mark)
    assert {mark for mark, _ in kinds.rows(kind).values()} <= {"", kinds.SHOWN_BY, kinds.LEFT_OUT}


def test_lab_declares_queues_durable_and_with_the_type_of_the_kind():
    declared = partial(kinds.declared, "quorum")
    assert declared("q", None, {}) == ({"x-queue-type": "quorum"}, {"durable": True})
    assert declared("q", {"x-expires": 1}, {"nowait": True}) == (
        {"x-queue-type": "quorum", "x-expires": 1},
        {"nowait": True, "durable": True},
    )


@pytest.mark.parametrize(
    ("name", "arguments", "flags"),
    [
        ("", None, {}),
        ("q", {"x-queue-type": "classic"}, {}),
        ("q", None, {"exclusive": True}),
        ("q", None, {"auto_delete": True}),
        ("q", None, {"durable": False}),
    ],
)
def test_queue_declaration_unlike_the_kind_makes_a_case_unsuitable(name, arguments, flags):
    with pytest.raises(UnsuitableCaseError):
        kinds.declared("quorum", name, arguments, flags)


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "FOLDER", tmp_path)
    (tmp_path / "quorum.txt").write_text("a/one\na/three ! it is late\na/two = b/two\n")


@pytest.mark.usefixtures("_folder")
def test_updating_a_case_list_keeps_its_marks():
    kinds.update("quorum", {"a/four": True, "a/one": False, "a/three": True, "a/five": False})
    assert (kinds.FOLDER / "quorum.txt").read_text() == "a/four\na/three ! it is late\na/two = b/two\n"
    assert kinds.suitable("quorum") == ["a/four", "a/two"]
    assert kinds.on_purpose("quorum") == {"a/two": "b/two"}


@pytest.mark.usefixtures("_folder")
def test_recording_of_a_queue_kind_is_stored_only_if_it_differs(monkeypatch):
    plain = transcript.load("queue/purge")[1]
    file = kinds.FOLDER / "quorum" / "queue" / "purge.json"
    kinds.store("quorum", "queue/purge", "R", {"observed": {"other": 1}})
    assert file.exists()
    kinds.store("quorum", "queue/purge", "R", plain)
    assert not file.exists()
    assert kinds.load("quorum", "queue/purge")[1] == plain

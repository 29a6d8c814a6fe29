"""The cases and their recordings belong together."""

import pytest

from conformance import registry, transcript
from conformance.client import NEVER_CAME
from conformance.purpose import is_on_purpose

CASES = registry.load()


def test_every_case_has_a_recording():
    missing = [case.id for case in CASES if transcript.load(case.id) is None]
    assert not missing


def test_every_recording_has_a_case():
    known = {transcript.path(case.id) for case in CASES}
    assert not set(transcript.GOLDEN.glob("*/*.json")) - known


def test_every_recording_is_from_the_release_that_is_modelled():
    versions = {transcript.load(case.id)[0] for case in CASES}
    assert versions == {"RabbitMQ 4.0.5"}


def test_exactly_the_intended_differences_have_a_recording_of_their_own():
    meant = {str(file.relative_to(transcript.MEANT).with_suffix("")) for file in transcript.MEANT.glob("*/*.json")}
    assert meant == {case.id for case in CASES if is_on_purpose(case.id)}


def test_no_recording_contains_a_wait_that_timed_out():
    assert not [file for file in transcript.GOLDEN.glob("*/*.json") if NEVER_CAME in file.read_text()]


def test_every_conformance_case_has_a_description():
    assert not [case.id for case in CASES if not case.about]


def test_cases_are_chosen_by_area_name_and_prefix():
    assert {case.area for case in registry.select(["topic"])} == {"topic"}
    assert [case.id for case in registry.select(["queue/purge"])] == ["queue/purge"]
    assert {case.id for case in registry.select(["queue/purge*"])} >= {"queue/purge", "queue/purge_quorum"}
    assert registry.select([]) == CASES


def test_selecting_an_unknown_case_is_an_error():
    with pytest.raises(LookupError, match="nothing"):
        registry.select(["nothing"])

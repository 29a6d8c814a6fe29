"""Every recording of RabbitMQ, replayed on a broker in this process: the contract of the broker and of its queues."""

import asyncio
import zlib

import pytest

from amqpbroker.config.bounds import BOUNDS, Bounds
from conformance import kinds, registry
from conformance.client import Timing
from conformance.errors import UnsuitableCaseError
from conformance.purpose import is_on_purpose
from conformance.runner import Runner
from tests.conformance.in_process import InProcess, TargetInProcess
from tests.harness import random_cut, whole
from tests.seeds import sampled

CASES = {case.id: case for case in registry.load()}

#: For each kind of queue, the cases that are recorded on queues of this kind as well.
CONTRACT = [(kind, case_id) for kind in kinds.KINDS for case_id in kinds.suitable(kind)]

#: Each case as it was recorded, and with each other kind of queue.
EVERY = [*(("", case_id) for case_id in CASES), *CONTRACT]

#: For each kind of queue, and for queues as cases declare them, the cases that are to differ.
ON_PURPOSE = {kind: frozenset(kinds.on_purpose(kind)) for kind in kinds.KINDS} | {
    "": frozenset(filter(is_on_purpose, CASES))
}

#: Cases that differ with extensions for a reason that `ExtensionsUsed` does not find -> the reason.
DIFFERENT: dict[str, str] = dict.fromkeys(
    (
        "stream_reading/offset_negative",
        "stream_reading/offset_negative_int8",
        "stream_reading/offset_of_every_type_in_order",
    ),
    "a negative x-stream-offset counts messages from the end",
)

SMALL_PAGES = Bounds(page_count=1, least_page_count=1, read_count=1)


@pytest.fixture(scope="module")
def replay():
    """A function that replays a case; requests to the HTTP API share an event loop."""
    with asyncio.Runner() as loop:

        def replay(case, kind="", cut=whole, stored=False, bounds=BOUNDS, extensions=False):
            network = InProcess(cut, loop.run, stored, bounds, extensions)
            target = TargetInProcess(within=network)
            runner = Runner(target, Timing(), 1, ON_PURPOSE[kind].__contains__, kind)
            try:
                result = runner.judge(case, runner.run(case).transcript)
            except UnsuitableCaseError:  # the declaration of its only queue was refused
                if not (extensions and network.used.names):
                    raise
            if extensions and (network.used.names or case.id in DIFFERENT):
                return
            assert result.outcome in ("ok", "on purpose"), f"{result.outcome}:\n{result.detail}"

        yield replay


@pytest.mark.parametrize("case_id", CASES)
def test_broker_behaves_as_in_the_recorded_case(replay, case_id):
    replay(CASES[case_id])


@pytest.mark.parametrize(("kind", "case_id"), CONTRACT)
def test_queue_kind_behaves_as_in_the_recorded_case(replay, kind, case_id):
    replay(CASES[case_id], kind)


@pytest.mark.explore
@pytest.mark.parametrize("case_id", sampled([*CASES], len(CASES) // 8))
def test_broker_behaves_as_recorded_when_input_is_split(replay, case_id):
    replay(CASES[case_id], cut=random_cut(zlib.crc32(case_id.encode())))


@pytest.mark.explore
@pytest.mark.parametrize(("kind", "case_id"), sampled(EVERY, len(EVERY) // 8))
def test_broker_with_extensions_behaves_as_recorded_in_cases_that_use_none(replay, kind, case_id):
    replay(CASES[case_id], kind, extensions=True)


def test_each_case_listed_as_different_with_extensions_exists_and_has_a_reason():
    assert {case_id for case_id, reason in DIFFERENT.items() if case_id not in CASES or not reason} == set()


@pytest.mark.explore
@pytest.mark.parametrize(("kind", "case_id"), sampled(EVERY, len(EVERY) // 8))
def test_queue_kind_with_stored_and_paged_messages_behaves_as_recorded(replay, kind, case_id):
    replay(CASES[case_id], kind, stored=True, bounds=SMALL_PAGES)

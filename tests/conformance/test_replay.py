"""Every recording of RabbitMQ, replayed on a broker in this process: the contract of the broker and of its queues."""

import zlib
from functools import partial

import pytest

from amqpbroker.broker.queues import fifo_line, paging
from conformance import kinds, registry
from conformance.client import Timing
from conformance.runner import Runner
from tests.conformance.in_process import InProcess, TargetInProcess
from tests.harness import random_cut, whole

CASES = {case.id: case for case in registry.load()}


#: For each kind of queue, the cases that are recorded on queues of this kind as well.
CONTRACT = [(kind, case_id) for kind in kinds.KINDS for case_id in kinds.suitable(kind)]


def replay(case, kind="", cut=whole, stored=False):
    target = TargetInProcess(within=InProcess(cut, stored))
    runner = Runner(target, Timing(), 1, partial(kinds.is_on_purpose, kind), kind)
    result = runner.judge(case, runner.run(case).transcript)
    assert result.outcome in ("ok", "on purpose"), f"{result.outcome}:\n{result.detail}"


@pytest.mark.parametrize("case_id", CASES)
def test_recorded_case(case_id):
    replay(CASES[case_id])


@pytest.mark.parametrize(("kind", "case_id"), CONTRACT)
def test_contract_of_a_kind_of_queue(kind, case_id):
    replay(CASES[case_id], kind)


@pytest.mark.explore
@pytest.mark.parametrize("case_id", CASES)
def test_recorded_case_with_input_cut_into_pieces(case_id):
    replay(CASES[case_id], cut=random_cut(zlib.crc32(case_id.encode())))


@pytest.fixture
def _small_pages(monkeypatch):
    monkeypatch.setattr(fifo_line, "PAGE_COUNT", 1)
    monkeypatch.setattr(fifo_line, "_WORTH_COUNT", 1)
    monkeypatch.setattr(paging, "SLICE_COUNT", 1)


@pytest.mark.explore
@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize(("kind", "case_id"), [*(("", case_id) for case_id in CASES), *CONTRACT])
def test_contract_of_a_kind_of_queue_whose_messages_are_stored_and_paged(kind, case_id):
    replay(CASES[case_id], kind, stored=True)

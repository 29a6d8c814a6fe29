"""The runner: whatever a script or a broker does ends in the matrix, and nothing passes by being silent."""

from __future__ import annotations

import sys

import pytest

from interop.broker import Broker, BrokerError
from interop.clients import CHECKS, Client
from interop.run import Result, run_client

ALL_PASS = "".join(f"print('PASS {name}')\n" for name in CHECKS)


class FakeBroker(Broker):
    """No process: it counts what it is told to do."""

    fails_to = ""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    @property
    def version(self) -> str:
        return "fake"

    def _command(self) -> tuple[list[str], dict[str, str]]:
        raise AssertionError("not started")

    def _ready(self) -> bool:
        return True

    def start(self) -> None:
        self._tell("start")

    def stop(self) -> None:
        self._tell("stop")

    def restart(self) -> None:
        self._tell("restart")

    def _tell(self, verb: str) -> None:
        self.told.append(verb)
        if verb == self.fails_to:
            raise BrokerError(f"cannot {verb}")


def run(script: str, broker: FakeBroker | None = None, timeout_s: float = 60) -> Result:
    client = Client("script", "Python", (sys.executable, "-c", script), timeout_s=timeout_s)
    return run_client(client, lambda: broker or FakeBroker())


def test_client_script_that_reports_all_checks_passes() -> None:
    result = run(f"print('VERSION thing 1.2')\n{ALL_PASS}print('PASS extra')")

    assert not result.failures
    assert result.version == "thing 1.2"
    assert list(result.checks) == [*CHECKS, "extra"]


def test_check_that_the_client_script_does_not_report_fails() -> None:
    result = run("print('PASS acks')")

    assert result.checks["acks"] == ("PASS", "")
    assert set(result.failures) == set(CHECKS) - {"acks"}


def test_not_applicable_check_counts_neither_as_passed_nor_failed() -> None:
    result = run(f"{ALL_PASS}print('NA acks no such thing')")

    assert not result.failures
    assert result.checks["acks"] == ("NA", "no such thing")


def test_a_failure_keeps_its_reason() -> None:
    result = run(f"{ALL_PASS}print('FAIL acks not acked')\nraise SystemExit(1)")

    assert result.failures == {"acks": "not acked"}


def test_nonzero_exit_status_of_a_client_script_is_a_failure() -> None:
    result = run(f"{ALL_PASS}raise SystemExit('went wrong')")

    assert result.failures == {"script": "exited with 1: went wrong"}


def test_a_script_past_its_time_limit_is_ended() -> None:
    for timeout_s in (1, 10):  # a busy machine may not have begun with it after the first
        result = run(
            f"{ALL_PASS}import sys, threading\nsys.stdout.flush()\nthreading.Event().wait()", timeout_s=timeout_s
        )
        if "acks" in result.checks and result.checks["acks"][0] == "PASS":
            break

    assert list(result.failures) == ["script"]
    assert result.failures["script"].startswith(f"ended after {timeout_s} s")


def test_a_program_that_is_not_installed_fails_every_check() -> None:
    client = Client("absent", "None", ("no-such-program-anywhere",))

    result = run_client(client, FakeBroker)

    assert result.failures["script"] == "no-such-program-anywhere is not installed (see --install)"
    assert set(CHECKS) < set(result.failures)


def test_failed_build_of_a_client_is_reported() -> None:
    build = (sys.executable, "-c", "raise SystemExit('no compiler')")
    client = Client("unbuilt", "None", (sys.executable, "-c", ALL_PASS), build=build)

    result = run_client(client, FakeBroker)

    assert result.failures["script"] == "not built: no compiler"


def test_the_broker_is_restarted_when_the_script_asks() -> None:
    broker = FakeBroker()

    result = run(f"print('RESTART', flush=True)\nassert input() == 'RESTARTED'\n{ALL_PASS}", broker)

    assert not result.failures
    assert broker.told == ["start", "restart", "stop"]


def test_client_script_that_ends_before_the_restart_is_a_failure() -> None:
    result = run(f"{ALL_PASS}print('RESTART', flush=True)\nimport os\nos.close(0)\nraise SystemExit('gone')")

    assert result.failures == {"script": "exited with 1: gone"}


@pytest.mark.parametrize("verb", ["start", "restart", "stop"])
def test_broker_that_cannot_stop_or_restart_is_a_failure(verb: str) -> None:
    broker = FakeBroker()
    broker.fails_to = verb

    result = run(f"print('RESTART', flush=True)\ninput()\n{ALL_PASS}", broker)

    assert result.failures["broker"] == f"cannot {verb}"

"""Run one client's script against a broker and collect the results of its checks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from interop.broker import Broker, BrokerError
from interop.clients import ROOT, WORK, Client

BUILD_TIMEOUT_S = 300.0

Status = Literal["PASS", "FAIL", "NA"]
_STATUSES: dict[str, Status] = {"PASS": "PASS", "FAIL": "FAIL", "NA": "NA"}


@dataclass
class Result:
    """Result of one client: a status and a reason by check name, in the order in which they were reported."""

    client: Client
    version: str = ""
    seconds: float = 0.0
    output: str = ""  # standard error output of the script
    checks: dict[str, tuple[Status, str]] = field(default_factory=dict)

    @property
    def failures(self) -> dict[str, str]:
        """The reasons of failed checks by name; empty if the client passed."""
        return {name: reason for name, (status, reason) in self.checks.items() if status == "FAIL"}


def run_client(client: Client, start_broker: Callable[[], Broker]) -> Result:
    """Build the client, run its script against its own broker, and return all results.

    Never raises for errors of the client or the broker: a check without a result has failed, and so has the check
    `broker` if the broker does not start, restart or end cleanly.
    """
    result = Result(client)
    started = time.monotonic()
    reason = _build(client)
    if not reason:
        broker = start_broker()
        try:
            broker.start()
            reason = _run_script(client, broker, result)
            broker.stop()
        except BrokerError as error:
            result.checks["broker"] = ("FAIL", str(error))
        finally:
            broker.close()
    if reason and not result.failures:
        result.checks["script"] = ("FAIL", reason)
    for name in client.checks:
        result.checks.setdefault(name, ("FAIL", "the script reported no result"))
    result.seconds = time.monotonic() - started
    return result


def _build(client: Client) -> str:
    """Run the build before the script; return the reason if it fails."""
    if client.missing:
        return f"{client.missing} is not installed (see --install)"
    if not client.build:
        return ""
    WORK.mkdir(exist_ok=True)
    built = subprocess.run(
        client.build,
        cwd=ROOT,
        env=os.environ | client.environment,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    return f"not built: {_one_line(built.stderr)}" if built.returncode else ""


def _run_script(client: Client, broker: Broker, result: Result) -> str:
    """Run the script to its end or its time limit; return the reason if it did not end well."""
    urls = {"AMQP_URL": broker.url, "MANAGEMENT_URL": broker.management_url}
    environment = os.environ | client.environment | urls | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            client.command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process:
            timed_out = threading.Event()

            def stop_at_limit() -> None:
                timed_out.set()
                _kill(process)

            limit = threading.Timer(client.timeout_s, stop_at_limit)
            limit.start()
            try:
                _converse(process, broker, result)
                status = process.wait()
            finally:
                limit.cancel()
                _kill(process)
        errors.seek(0)
        result.output = errors.read()
    output = _one_line(result.output[-1500:])
    if timed_out.is_set():
        return f"ended after {client.timeout_s:.0f} s: {output}"
    return f"exited with {status}: {output}" if status else ""


def _converse(process: subprocess.Popen[str], broker: Broker, result: Result) -> None:
    """Record the reported results, and restart the broker on request, until the script closes its output."""
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        word, _, rest = line.strip().partition(" ")
        if word == "RESTART":
            broker.restart()
            with contextlib.suppress(BrokenPipeError):  # the script has ended; its exit status shows the reason
                os.write(process.stdin.fileno(), b"RESTARTED\n")
        elif word == "VERSION":
            result.version = rest
        elif word in _STATUSES:
            name, _, why = rest.partition(" ")
            result.checks[name] = (_STATUSES[word], why)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the script and the processes it started (it leads a process group of its own)."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        return
    process.wait()


def _one_line(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-8:]) or "(no output)"

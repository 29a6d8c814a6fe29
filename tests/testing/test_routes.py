"""The testing API: there when it is asked for, for administrators, and nowhere else."""

import httpx
import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main
from amqpbroker.testing import Broker
from tests.process import BrokerProcess


@pytest.fixture(scope="module")
def b():
    with Broker(management=True, users={"bob": "b"}) as broker:
        yield broker


@pytest.fixture(scope="module")
def api(b):
    with httpx.Client(base_url=f"{b.http_url}/api/testing", auth=("guest", "guest")) as client:
        yield client


def test_time_is_moved_on(b, api):
    before = b.clock.now()
    shown = api.post("/clock/advance", json={"hours": 2, "seconds": 0.5}).json()
    assert (b.clock.now() - before).total_seconds() == pytest.approx(7200.5, abs=5)
    assert shown["frozen"] is False
    frozen = api.post("/clock/freeze").json()
    assert api.get("/clock").json() == frozen
    assert api.post("/clock/advance", json={"milliseconds": 250}).json()["now_ms"] == frozen["now_ms"] + 250
    assert api.post("/clock/resume").json()["frozen"] is False


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "a span of time has some of days, hours, minutes, seconds, milliseconds; got none"),
        ({"hour": 1}, "a span of time has some of days, hours, minutes, seconds, milliseconds; got hour"),
        ({"hours": -1}, "hours is to be a number, and not negative"),
        ({"hours": "1"}, "hours is to be a number, and not negative"),
        ({"days": 1e300}, "that is too long"),
    ],
)
def test_a_span_that_is_none_is_refused(api, body, reason):
    answer = api.post("/clock/advance", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


def test_it_is_for_administrators(b):
    url = f"{b.http_url}/api/testing/clock"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, auth=("guest", "wrong")).status_code == 401


def test_a_broker_has_it_only_with_the_flag(broker, tmp_path):
    answer = httpx.get(f"http://127.0.0.1:{broker.port_of('http')}/api/testing/clock", auth=("guest", "guest"))
    assert answer.status_code == 404
    with BrokerProcess(tmp_path, "--testing") as process:
        url = f"http://127.0.0.1:{process.port_of('http')}/api/testing/clock/advance"
        assert httpx.post(url, json={"days": 1}, auth=("guest", "guest")).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--set", "management.tcp.ip=0.0.0.0"], "--testing needs the management API on loopback, not on 0.0.0.0"),
        (["--set", "management.tcp.port=none"], "--testing needs the management API: set management.tcp.port"),
    ],
)
def test_the_flag_wants_an_api_on_loopback(arguments, text):
    ran = CliRunner().invoke(main, ["serve", "--testing", *arguments])
    assert ran.exit_code == 2
    assert text in ran.output

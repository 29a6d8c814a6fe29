import base64
import http.client
import json
import os
import socket
import stat

import pytest

from tests.process import ENVIRONMENT, BrokerProcess


def ports_of(broker, protocol):
    return json.loads(broker.ready_file.read_text())[protocol]


def whoami(port, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/whoami", headers=headers or {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_management_api_answers_the_first_request(tmp_path):
    with BrokerProcess(tmp_path) as broker:
        ((_, port),) = ports_of(broker, "http")
        for _ in range(2):
            status, body = whoami(port)
            assert status == 200
            assert json.loads(body)["name"] == "guest"


def test_broker_stops_while_an_http_connection_is_open(tmp_path):
    with BrokerProcess(tmp_path) as broker:
        ((_, port),) = ports_of(broker, "http")
        client = socket.create_connection(("127.0.0.1", port))
        whoami(port)
    client.close()


@pytest.mark.parametrize("trusted", [False, True])
def test_forged_origins_do_not_speed_up_password_guessing(tmp_path, monkeypatch, trusted):
    """Only the proxy in the settings may forward addresses. Environment variables of uvicorn have no effect."""
    monkeypatch.setitem(ENVIRONMENT, "FORWARDED_ALLOW_IPS", "*")
    arguments = ("--set", "management.trusted_proxies.1=127.0.0.1") if trusted else ()
    with BrokerProcess(tmp_path, *arguments) as broker:
        ((_, port),) = ports_of(broker, "http")
        for number in range(12):
            password = "guest" if number == 11 else f"guess {number}"
            login = "Basic " + base64.b64encode(f"guest:{password}".encode()).decode()
            headers = {"Authorization": login, "X-Forwarded-For": f"127.0.0.{number + 1}"}
            status, _ = whoami(port, headers)
        assert status == (200 if trusted else 401)


def test_control_file_token_logs_in_and_the_file_is_removed_at_the_end(tmp_path):
    with BrokerProcess(tmp_path, "--data-dir", str(tmp_path / "data")) as broker:
        path = tmp_path / "data" / "control.json"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        control = json.loads(path.read_text())
        assert control["pid"] == broker.process.pid
        port = int(control["url"].rpartition(":")[2])
        assert whoami(port, {"Authorization": f"Bearer {control['token']}"})[0] == 200
    assert not path.exists()


def test_no_http_listener_is_opened_if_its_ports_are_none(tmp_path):
    with BrokerProcess(tmp_path, "--set", "management.tcp.port=none", "--set", "prometheus.tcp.port=none") as broker:
        assert "http" not in json.loads(broker.ready_file.read_text())


def test_management_port_in_use_is_an_error(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(AssertionError, match="choose another with --management-port"),
            BrokerProcess(tmp_path, "--set", f"management.tcp.port={port}"),
        ):
            pass

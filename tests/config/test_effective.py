import pytest

from amqpbroker.config import SETTINGS, Assignment, Kind, Origin, load, load_all
from amqpbroker.config.effective import HIDDEN, effective, written
from amqpbroker.config.rabbitmq_conf import parse


@pytest.fixture
def shown(tmp_path):
    """Return the effective settings of a file's text, an environment and flags: key -> (value, origins)."""

    def show(text="", environ=None, **flags):
        path = tmp_path / "a.conf"
        path.write_text(text)
        assignments = [Assignment(key, value, Origin(Kind.FLAG, "--set")) for key, value in flags.items()]
        rows = effective(load_all([path], environ or {}, assignments))
        return {row.key: (row.value, [str(o).removeprefix(f"{tmp_path}/") for o in row.origins]) for row in rows}

    return show


def test_effective_value_has_its_origin(shown):
    rows = shown("\nheartbeat = 7\n", {"RABBITMQ_DEFAULT_USER": "bob"}, channel_max="5")
    assert rows["heartbeat"] == ("7", ["a.conf:2"])
    assert rows["default_user"] == ("bob", ["RABBITMQ_DEFAULT_USER"])
    assert rows["channel_max"] == ("5", ["--set"])
    assert rows["frame_max"] == ("131072", ["default"])


def test_last_assignment_is_effective(shown):
    assert shown("heartbeat = 7\nheartbeat = 8\n", heartbeat="9")["heartbeat"] == ("9", ["--set"])


def test_host_and_port_of_a_listener_may_come_from_two_assignments(shown):
    rows = shown("listeners.tcp.default = 5673", {"RABBITMQ_NODE_IP_ADDRESS": "::1", "RABBITMQ_NODE_PORT": "1"})
    assert rows["listeners.tcp.default"] == ("[::1]:5673", ["RABBITMQ_NODE_IP_ADDRESS", "a.conf:1"])
    assert shown("listeners.tcp.default = 5673")["listeners.tcp.default"] == ("127.0.0.1:5673", ["a.conf:1"])


def test_replaced_defaults_are_not_shown(shown):
    assert shown()["auth_mechanisms.3"] == ("PLAIN", ["default"])
    rows = shown("auth_mechanisms.1 = PLAIN\nlisteners.tcp.a = 1\nvm_memory_high_watermark.absolute = 1GB\n")
    assert "auth_mechanisms.1" in rows
    for replaced in ("auth_mechanisms.3", "listeners.tcp.default", "vm_memory_high_watermark.relative"):
        assert replaced not in rows


def test_defaults_that_depend_on_other_settings_are_shown(shown):
    rows = shown("compat = 4.2\nlisteners.tcp.default = 0\nprometheus.ssl.certfile = c.pem")
    assert rows["initial_frame_max"] == ("8192", ["default"])
    assert rows["management.tcp.port"] == ("0", ["default"])
    assert rows["prometheus.tcp.port"] == ("none", ["default"])
    assert rows["prometheus.ssl.port"] == ("15691", ["default"])


def test_secrets_are_hidden(shown):
    secrets = {s.key.replace("$", ""): "hush" for s in SETTINGS if s.secret}
    secrets["store.url"] = "postgresql://user:hush@host/database"
    rows = shown("", {"RABBITMQ_DEFAULT_PASS": "hush"}, **secrets)
    assert all(rows[key] == (HIDDEN, ["--set"]) for key in secrets)
    assert "hush" not in str(rows)
    assert shown()["default_pass"][0] == HIDDEN


def test_keys_without_effect_are_not_shown(shown):
    assert "raft.wal_max_entries" not in shown("raft.wal_max_entries = 5")


def test_effective_settings_produce_the_same_configuration(shown):
    text = "listeners.tcp.default = 0\nmanagement.path_prefix = /a\ncluster_name = ' x#'\nheartbeat = 3\n"
    lines = "".join(f"{key} = {written(value)}\n" for key, (value, _) in shown(text).items() if value != HIDDEN)
    again = load([(key, value) for key, value, _ in parse(lines, "again")], {})
    assert again == load([(key, value) for key, value, _ in parse(text, "once")], {})

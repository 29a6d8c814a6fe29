"""Precedence of several values, and errors with the origin of a wrong value."""

import pytest

from amqpbroker.config import Assignment, ConfigError, Kind, Listener, Origin, load_all


@pytest.fixture
def loaded(tmp_path):
    """Return a function that loads a file's text, an environment and flags."""

    def load(text, environ=None, **flags):
        path = tmp_path / "a.conf"
        path.write_text(text)
        assignments = [Assignment(key, value, Origin(Kind.FLAG, "--set")) for key, value in flags.items()]
        return load_all([path], environ or {}, assignments)

    return load


def test_flags_override_the_environment_which_overrides_files(loaded):
    text, environ = "default_user = filed\n", {"RABBITMQ_DEFAULT_USER": "environed"}
    assert loaded(text).config.default_users[0].name == "filed"
    assert loaded(text, environ).config.default_users[0].name == "environed"
    assert loaded(text, environ, default_user="flagged").config.default_users[0].name == "flagged"


def test_file_overrides_the_port_in_the_environment(loaded):
    environ = {"RABBITMQ_NODE_PORT": "1", "RABBITMQ_NODE_IP_ADDRESS": "0.0.0.0"}
    assert loaded("", environ).config.listeners == (Listener("0.0.0.0", 1),)
    assert loaded("listeners.tcp.default = 2", environ).config.listeners == (Listener("0.0.0.0", 2),)
    assert loaded("listeners.tcp.local = 127.0.0.1:2", environ).config.listeners == (Listener("127.0.0.1", 2),)


def test_the_node_name_is_the_cluster_name_unless_a_file_has_one(loaded):
    environ = {"RABBITMQ_NODENAME": "rabbit@host"}
    assert loaded("", environ).config.cluster_name == "rabbit@host"
    assert loaded("cluster_name = other", environ).config.cluster_name == "other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hearbeat = 7", ":2: there is no setting hearbeat; did you mean heartbeat?"),
        ("heartbeat = often", ":2: heartbeat = often: this must be a whole number from 0 to 65535 (s)"),
        ("frame_max = 4096\ncompat = 4.2", ":2: frame_max = 4096: with this compat it must be at least 8192"),
        ("default_pass = encrypted:abc", ":2: default_pass: encrypted values are not supported; write $(NAME)"),
        ("deprecated_features.permit.qos = true", ":2: deprecated_features.permit.qos: unknown feature"),
    ],
)
def test_error_in_a_file_has_its_line(text, said, loaded, tmp_path):
    with pytest.raises(ConfigError) as refused:
        loaded("\n" + text)
    assert str(refused.value).startswith(f"{tmp_path / 'a.conf'}{said}")


def test_error_in_the_environment_has_its_variable(loaded):
    with pytest.raises(ConfigError, match=r"^RABBITMQ_NODE_PORT: listeners\.tcp\.default = x:y:z: this must be PORT"):
        loaded("", {"RABBITMQ_NODE_PORT": "x:y:z"})


def test_log_levels_are_read_from_the_environment(loaded):
    log = loaded("log.console.level = info", {"RABBITMQ_LOG": "debug,+color,channel=error"}).config.log
    assert (log.console_level, log.file_level) == ("debug", "debug")
    assert dict(log.levels) == {"default": "debug", "channel": "error"}
    log = loaded("log.file = a.log", {"RABBITMQ_LOGS": "-", "RABBITMQ_LOG_BASE": "/tmp"}).config.log
    assert (log.file, log.dir) == ("", "/tmp")


def test_unknown_log_category_is_refused(loaded):
    with pytest.raises(ConfigError, match=r":1: log\.conection\.level: unknown category; choose from default, conn"):
        loaded("log.conection.level = debug")

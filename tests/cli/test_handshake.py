import pytest

from amqpbroker.cli import handshake
from amqpbroker.cli.handshake import Target


@pytest.fixture
def checked(monkeypatch):
    """Return a list of the targets that are checked, instead of connecting to them."""
    targets = []
    monkeypatch.setattr(handshake, "check", lambda target: targets.append(target) or 0)
    monkeypatch.delenv("RABBITMQ_NODE_PORT", raising=False)
    return targets


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ([], Target("127.0.0.1", 5672, 2.0)),
        (["--host", "h", "--port=5673", "--timeout", "0.5"], Target("h", 5673, 0.5)),
        (["--port", "1", "--port", "2"], Target("127.0.0.1", 2, 2.0)),
        (["--url", "amqp://u:p@h:5673/v", "--host", "other"], Target("h", 5673, 2.0)),
        (["--url=amqp://h"], Target("h", 5672, 2.0)),
    ],
)
def test_options_in_full_are_read(checked, words, target):
    assert handshake.run(words) == 0
    assert checked == [target]


def test_port_is_that_of_the_environment(checked, monkeypatch):
    monkeypatch.setenv("RABBITMQ_NODE_PORT", "5673")
    assert handshake.run([]) == 0
    monkeypatch.setenv("RABBITMQ_NODE_PORT", "")
    assert handshake.run([]) == 0
    assert [target.port for target in checked] == [5673, 5672]


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        ["more"],
        ["--"],
        ["--por", "1"],
        ["--port"],
        ["--port", ""],
        ["--port="],
        ["--port", "65536"],
        ["--timeout", "0"],
        ["--url", "http://h"],
        ["--url", "amqp://h:many"],
    ],
)
def test_other_words_are_left_to_click(checked, words):
    assert handshake.run(words) is None
    assert checked == []

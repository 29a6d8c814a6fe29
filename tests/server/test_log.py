import io
import json
import logging
import re

import pytest

from amqpbroker.config import Log, load
from amqpbroker.server.log import (
    CATEGORIES,
    NUMBERS,
    ColourFormatter,
    PlainFormatter,
    category_of,
    in_one_line,
    set_up,
    wants_colours,
)

CONNECTION = logging.getLogger("amqpbroker.connection")
CHANNEL = logging.getLogger("amqpbroker.channel")
OTHER = logging.getLogger("amqpbroker.server.app")
HEAD = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00"


@pytest.fixture(autouse=True)
def _restore():
    """The log is everybody's."""
    loggers = [logging.getLogger(name) for name in (None, *CATEGORIES)]
    levels, root = [logger.level for logger in loggers], loggers[0]
    handlers = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def logged(tmp_path):
    """Sets the log up and returns what a function that logs puts into the file, line by line."""
    path = tmp_path / "below" / "broker.log"

    def run(make_records, **settings):
        set_up(Log(**{"console": False, "file": "broker.log", "dir": str(path.parent), **settings}))
        make_records()
        return path.read_text().splitlines()

    return run


def every_level():
    for logger in (CONNECTION, CHANNEL, OTHER):
        for name in ("debug", "info", "warning", "error"):
            logger.log(NUMBERS[name], "%s %s", category_of(logger.name), name)


@pytest.mark.parametrize(
    ("settings", "connection", "channel", "other"),
    [
        ({}, "info", "info", "info"),
        ({"file_level": "warning"}, "warning", "warning", "warning"),
        ({"levels": (("default", "error"),)}, "error", "error", "error"),
        ({"levels": (("connection", "debug"),)}, "debug", "info", "info"),
        ({"levels": (("connection", "none"), ("channel", "error"))}, None, "error", "info"),
        ({"levels": (("connection", "debug"),), "file_level": "warning"}, "warning", "warning", "warning"),
        ({"levels": (("connection", "debug"), ("default", "error"))}, "debug", "error", "error"),
    ],
)
def test_log_records_are_filtered_by_output_and_category_levels(settings, connection, channel, other, logged):
    lines = logged(every_level, **settings)
    least = {}
    for line in lines:
        category, name = line.split()[-2:]
        least.setdefault(category, name)
    assert least == {
        category: name
        for category, name in (("connection", connection), ("channel", channel), ("default", other))
        if name is not None
    }


def test_loggers_are_disabled_for_levels_that_no_output_accepts(logged):
    logged(every_level, file_level="warning", levels=(("channel", "error"),))
    assert not CONNECTION.isEnabledFor(logging.INFO)
    assert CONNECTION.isEnabledFor(logging.WARNING)
    assert not CHANNEL.isEnabledFor(logging.WARNING)


def test_without_outputs_nothing_is_logged(capfd):
    set_up(Log(console=False))
    OTHER.critical("nobody reads this")
    assert capfd.readouterr() == ("", "")


def test_plain_log_line_has_rabbitmqs_format(logged):
    (line,) = logged(lambda: CONNECTION.info("accepting %s", "x", extra={"pid": "<0.7.0>"}))
    assert re.fullmatch(HEAD + r" \[info\] <0\.7\.0> accepting x", line)


@pytest.mark.parametrize(("number", "name"), [(25, "notice"), (50, "critical"), (60, "emergency")])
def test_levels_have_rabbitmqs_names(number, name, logged):
    (line,) = logged(lambda: OTHER.log(number, "x"))
    assert f" [{name}] <0.0.0> x" in line


def test_logged_text_cannot_forge_a_log_line_or_control_the_terminal(logged):
    lines = logged(lambda: OTHER.warning("name: %s", "a\n2026-01-01 00:00:00 [info] <0.1.0> b\x1b[31m\r\x9bc"))
    assert len(lines) == 2
    assert all(re.match(HEAD + r" \[warning\] <0\.0\.0> ", line) for line in lines)
    assert lines[1].endswith(r"b\x1b[31m\x0d\x9bc")


def test_a_name_with_line_breaks_stays_in_one_line(logged):
    (line,) = logged(lambda: OTHER.warning("vhost '%s' is there", in_one_line("a\n\rb\n")))
    assert line.endswith(r" vhost 'a\x0a\x0db\x0a' is there")


def test_each_line_of_a_traceback_has_the_log_prefix(logged):
    def fail():
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            OTHER.exception("failed")

    lines = logged(fail)
    assert "Traceback" in lines[1]
    assert lines[-1].endswith("[error] <0.0.0> ZeroDivisionError: division by zero")


def test_json_log_has_one_object_per_line(logged):
    fields = {"pid": "<0.7.0>", "connection": "a -> b", "user": "u", "vhost": "/", "channel": 3, "password": "p"}
    lines = logged(lambda: CHANNEL.error('x "%s"\n', "\x9b\u2028é\udcff", extra=fields), file_formatter="json")
    (record,) = map(json.loads, lines)
    assert re.fullmatch(HEAD, record.pop("time"))
    assert record == {
        "level": "error",
        "msg": 'x "\x9b\u2028é\\udcff"\n',
        "pid": "<0.7.0>",
        "domain": "rabbitmq.channel",
        "connection": "a -> b",
        "vhost": "/",
        "user": "u",
        "channel": 3,
    }
    assert "\x9b" not in lines[0]


def test_log_file_is_rotated_at_its_size_limit(logged, tmp_path):
    def make_records():
        for number in range(10):
            OTHER.warning("%d %s", number, "x" * 100)

    (line,) = logged(make_records, file_rotation_size_bytes=200, file_rotation_count=2)
    assert " 9 x" in line
    assert {path.name for path in (tmp_path / "below").iterdir()} == {"broker.log", "broker.log.1", "broker.log.2"}


def test_log_file_is_created_again_after_it_was_moved_away(logged, tmp_path):
    path = tmp_path / "below" / "broker.log"

    def make_records():
        OTHER.warning("one")
        path.rename(path.with_suffix(".old"))
        OTHER.warning("two")

    (line,) = logged(make_records)
    assert line.endswith("two")


def test_log_file_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        set_up(Log(file="broker.log", dir=str(tmp_path / "file")))


def test_every_logger_category_has_a_level_setting():
    for category in CATEGORIES.values():
        assert load([(f"log.{category}.level", "debug")], {}).log.levels == ((category, "debug"),)


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
    ],
)
def test_log_has_colours_on_terminals_unless_the_environment_forbids_them(monkeypatch, environment, terminal, wanted):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = (Terminal if terminal else io.TextIOWrapper)(io.BytesIO())
    assert wants_colours(stream) is wanted
    assert not wants_colours(None)


@pytest.mark.parametrize(
    ("level", "colour"),
    [("debug", "2"), ("info", "0"), ("notice", "36"), ("warning", "33"), ("error", "31"), ("critical", "1;31")],
)
def test_a_coloured_line_is_the_plain_line_with_colours(level, colour):
    record = logging.LogRecord("amqpbroker", NUMBERS[level], "", 0, "first\nsecond \x1b[31m", (), None)
    plain, coloured = PlainFormatter().format(record), ColourFormatter().format(record)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert coloured.count(f"\x1b[{colour}m[{level}]\x1b[0m <0.0.0> ") == 2

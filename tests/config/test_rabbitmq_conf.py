"""Tests whose expectations are the results of cuttlefish 3.4 for the same text."""

import pytest

from amqpbroker.config import ConfigError
from amqpbroker.config.rabbitmq_conf import Entry, parse


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a.b = c d", "a.b", "c d"),
        ("a.c=d # comment", "a.c", "d"),
        ("a = x#c", "a", "x"),
        ('a = "quoted"', "a", '"quoted"'),
        ('a = ""', "a", '""'),
        ("a = 'x # y' # comment", "a", "x # y"),
        ("a = ' x '", "a", " x "),
        ("a = ''", "a", ""),
        ("a = 'y\nz'", "a", "y\nz"),
        (r"a = 'x\ny'", "a", r"x\ny"),
        ("a = 'x", "a", "'x"),
        ("a = x'y", "a", "x'y"),
        ("a = with = equals", "a", "with = equals"),
        ("a =\ttab\t", "a", "tab"),
        ("  A-b_c.1 = x", "A-b_c.1", "x"),
        (r"a\.b.c = 1", r"a\.b.c", "1"),
        ("a = ü", "a", "ü"),
        ("a = 1\r\n", "a", "1"),
        ("\ufeffa = 1", "a", "1"),
        ("include conf.d/*.conf # those", "", "conf.d/*.conf"),
    ],
)
def test_directive_of_rabbitmq_conf_is_parsed(text, key, value):
    assert list(parse(text, "f")) == [Entry(key, value, 1)]
    assert list(parse(text + "\n\n# end\n", "f")) == [Entry(key, value, 1)]


def test_entries_of_rabbitmq_conf_have_their_line_numbers():
    text = "# one\n\na = 'b\n\n# c'\ninclude d\n  e = f"
    assert list(parse(text, "f")) == [Entry("a", "b\n\n# c", 3), Entry("", "d", 6), Entry("e", "f", 7)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bogus hunter2", "f:2: the line is neither KEY = VALUE"),
        ("= hunter2", "f:2: the line is neither KEY = VALUE"),
        ("a b = hunter2", "f:2: the line is neither KEY = VALUE"),
        ("a..b = hunter2", "f:2: the line is neither KEY = VALUE"),
        ("a.b. = hunter2", "f:2: the line is neither KEY = VALUE"),
        ("größe = hunter2", "f:2: the line is neither KEY = VALUE"),
        ("a = ", "f:2: a has no value; write ''"),
        ("a = # hunter2", "f:2: a has no value; write ''"),
        ("a = 'hunter2' y", "f:2: unexpected text after the quoted value of a"),
        ("a = 'it\\'s hunter2'", "f:2: unexpected text after the quoted value of a"),
    ],
)
def test_error_of_an_invalid_line_has_its_number_but_not_its_value(text, said):
    with pytest.raises(ConfigError) as refused:
        list(parse("x = 1\n" + text, "f"))
    assert str(refused.value).startswith(said)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("text", ["[].", "%% old\n\n[{rabbit, []}]."])
def test_erlang_terms_are_refused(text):
    with pytest.raises(ConfigError, match=r"^f: these are Erlang terms, which are not supported"):
        list(parse(text, "f"))

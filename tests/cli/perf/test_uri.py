import pytest

from amqpbroker.cli.perf.uri import Uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("amqp://", Uri()),
        ("amqp://host", Uri("host")),
        ("amqp://host/", Uri("host")),
        ("amqp://host/%2f", Uri("host")),
        ("amqp://host/a%2Fb", Uri("host", vhost="a/b")),
        ("amqp://a%40b:p%3Aw@[::1]:1234/v", Uri("::1", 1234, "a@b", "p:w", "v")),
        ("amqps://host", Uri("host", 5671, tls=True)),
    ],
)
def test_every_part_may_be_missing(text, uri):
    assert Uri.parse(text) == uri


@pytest.mark.parametrize("text", ["http://u:hush@h", "h:5672", "amqp://u:hush@h:many", "amqp://u:hush@h:70000"])
def test_what_is_none_is_told_without_its_password(text):
    with pytest.raises(ValueError, match="amqp://USER:PASSWORD@HOST") as told:
        Uri.parse(text)
    assert "hush" not in str(told.value)


def test_the_password_is_never_shown():
    uri = Uri.parse("amqp://me:hush@host/a%2Fb")
    assert str(uri) == "amqp://me@host:5672/a%2Fb"
    assert "hush" not in f"{uri} {uri!r}"


def test_who_logs_in_by_a_certificate_is_not_named():
    assert str(Uri("host", 5671, user="", tls=True)) == "amqps://host:5671/"

"""Texts about a database and its errors."""

import psycopg
import pytest

from amqpbroker.store.database.texts import described, reason
from amqpbroker.store.log import StoreError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:secret@db.example/broker", "postgresql://db.example:5432/broker"),
        ("postgres://u:secret@a:1,b:2/broker?sslmode=require", "postgresql://a:1,b:2/broker"),
        ("postgresql://u:secret@[fe80::1]:7,[::1],db/x", "postgresql://[fe80::1]:7,[::1]:5432,db:5432/x"),
        ("postgresql://a,b:7/x", "postgresql://a:5432,b:7/x"),
        ("postgresql://u@/x", "postgresql://localhost:5432/x"),
        ("postgresql://u@h", "postgresql://h:5432/u"),
        ("postgresql://u:se?cret@db/x", "postgresql://db:5432/x"),
        ("postgresql://u:se#cret@db/x", "postgresql://db:5432/x"),
    ],
)
def test_a_url_is_shown_without_secrets(url, expected):
    assert described(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/x?nonsense=1",
        "postgresql://u:pa%ss@db/x",
        "postgresql://u:top%00secret@db/x",
        "postgresql://u:se/cret@db/x",
        "postgresql://u:se@cret@db/x",
        "postgresql://u:se@cret@/x",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_showing_any_of_it(url):
    with pytest.raises(StoreError, match="the URL of the store cannot be read; encode special characters") as raised:
        described(url)
    assert not any(part in str(raised.value) for part in ("pa%", "cret", "nonsense"))


#: As psycopg and libpq write it, before the reason.
FAILED = 'connection failed: connection to server at "{}", port {} failed: '
HINT = "Is the server running on that host and accepting TCP/IP connections?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("syntax error\nLINE 1: x", "syntax error"),
        ("", "OperationalError"),
        (
            FAILED.format("127.0.0.1", 1) + f"Connection refused\n\t{HINT}",
            FAILED.format("127.0.0.1", 1) + "Connection refused",
        ),
        (
            "failed to resolve host 'db.example': [Errno -2] Name or service not known",
            "failed to resolve host 'db.example': Name or service not known",
        ),
    ],
)
def test_a_reason_is_one_line(text, expected):
    assert reason(psycopg.OperationalError(text)) == expected


def test_a_reason_has_that_of_each_host():
    refused = f"Connection refused\n\t{HINT}"
    attempts = [
        ("'db1', port: '1', hostaddr: '10.0.0.1'", FAILED.format("10.0.0.1", 1) + 'FATAL:  no role "app"'),
        ("'::1', port: '1', hostaddr: None", "connection timeout expired"),
        ("'10.0.0.2', port: None, hostaddr: '10.0.0.2'", FAILED.format("10.0.0.2", 5432) + refused),
    ]
    lines = [refused, "Multiple connection attempts failed. All failures were:"]
    lines += [f"- host: {where}: {text}" for where, text in attempts]
    assert reason(psycopg.OperationalError("\n".join(lines))) == (
        'db1:1 (10.0.0.1): no role "app"; [::1]:1: connection timeout expired; 10.0.0.2:5432: Connection refused'
    )

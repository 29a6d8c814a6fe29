"""The table of statements has those of the product, and no others."""

import ast
import re
from pathlib import Path

import amqpbroker.cluster
import amqpbroker.store.database
from tests.simulation.database.statements import STATEMENTS

FOLDERS = [Path(package.__path__[0]) for package in (amqpbroker.store.database, amqpbroker.cluster)]
STATEMENT = re.compile(r"(?:WITH|SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|SET|LOCK|BEGIN|COMMIT|ROLLBACK)\b")
PLACEHOLDER = re.compile(r"\\\{\w*\\\}")

#: Statements that no world sends: all tables are new, no world has a broker without shared vhosts, vhosts have no
#: bindings, no operator asks for a leadership, and no tool copies a store.
NOT_SENT = {
    "SELECT to_regclass(%s) IS NOT NULL",
    "UPDATE format SET version = %s",
    "SET LOCAL lock_timeout TO '100ms'",
    "ALTER TABLE leadership ADD COLUMN ready text NOT NULL DEFAULT ''",
    "ALTER TABLE brokers ADD COLUMN host text NOT NULL DEFAULT '', ADD COLUMN port integer NOT NULL DEFAULT 0,"
    " ADD COLUMN secret text NOT NULL DEFAULT ''",
    "UPDATE leadership SET wanted = given.wanted, accepted = false FROM unnest(%s::text[], %s::bigint[], %s::text[])"
    " AS given (log, epoch, wanted) WHERE leadership.log = given.log AND leadership.epoch = given.epoch"
    " AND NOT released RETURNING leadership.log",
    "UPDATE leadership SET accepted = true WHERE wanted = %s AND log = ANY(%s)",
    "UPDATE leadership SET wanted = '', accepted = false WHERE process = %s AND log = ANY(%s)",
    "UPDATE leadership SET until = clock_timestamp() + %s * interval '1 second'"
    " WHERE log = %s AND epoch = %s AND process = %s",
    "DELETE FROM {} WHERE log = %s AND vhost = %s AND to_exchange = %s AND destination = %s",
    "DELETE FROM {} WHERE log = %s AND vhost = %s AND source = %s",
    "SELECT 1 FROM vhost_log UNION ALL SELECT 1 FROM pg_tables"
    " WHERE schemaname = %s AND position('/' IN tablename) > 0 LIMIT 1",
    "SELECT nextval(pg_get_serial_sequence('vhost_log', 'number')) FROM generate_series(1, %s)",
    "INSERT INTO vhost_log (number, vhost) VALUES (%s, %s) ON CONFLICT DO NOTHING",
    "INSERT INTO fence (log, epoch) VALUES (%s, 1) ON CONFLICT DO NOTHING",
    "INSERT INTO leadership (log, epoch, holder, address, process, host, port, secret, released, until)"
    " VALUES (%s, 1, %s, '', '', '', 0, '', true, clock_timestamp()) ON CONFLICT DO NOTHING",
}

#: Statement that psycopg's methods send.
OF_PSYCOPG = {"ROLLBACK"}


def sent():
    """Return the texts of the product's statements, with {} or {name} for what is inserted."""
    return {
        text
        for folder in FOLDERS
        for path in folder.rglob("*.py")
        for text in map(written, ast.walk(ast.parse(path.read_text())))
        if STATEMENT.match(text)
    }


def written(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def pattern(text):
    return PLACEHOLDER.sub(".+", re.escape(text))


def test_every_statement_of_the_product_is_known():
    texts = sent()
    assert len(texts) > 30
    # The first part of a text with something inserted is a node of its own.
    parts = {text for text in texts for other in texts if other != text and other.startswith(text)}
    known = {text for text in texts for each in STATEMENTS if re.fullmatch(pattern(text), each)}
    assert texts - known - NOT_SENT - parts == set()
    assert texts >= NOT_SENT


def test_every_known_statement_is_one_of_the_product():
    patterns = [pattern(text) for text in sent() | OF_PSYCOPG]
    assert [each for each in STATEMENTS if not any(re.fullmatch(other, each) for other in patterns)] == []

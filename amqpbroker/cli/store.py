"""`amqpbroker store`: checks, prints or copies what is stored, and changes nothing of it."""

import codecs
import itertools
import json
import sqlite3
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amqpbroker.store.log import NEEDS_PSYCOPG

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from amqpbroker.store.copying.interfaces import Source, Target
    from amqpbroker.store.directory.dump import Told
    from amqpbroker.store.directory.inspection import JournalReader
    from amqpbroker.store.directory.names import Name
    from amqpbroker.store.directory.stream_inspection import StreamsReader
    from amqpbroker.store.recovered import Copies

#: Id -> name of a queue or exchange.
Names = dict[int, "Name"]

directory_argument = click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False)
)


@click.group()
def store() -> None:
    """Check a data directory, show its content, or copy it.

    DIR is the directory of `amqpbroker serve --data-dir`. Nothing in it is changed, and a broker may be running on it.
    """


@store.command()
@directory_argument
def check(directory: Path) -> None:
    """Verify every checksum and every record.

    The exit status is 0 if nothing is damaged, else 1. An incomplete batch, left by a broker that was killed, is not
    damage: nothing in it was confirmed.
    """
    reader, streams = _open(directory)
    from amqpbroker.store.directory.inspection import Inspection

    inspection = Inspection(reader)
    names, wrong = _names(directory)
    click.echo(f"segments: {reader.segments}")
    click.echo(f"bytes: {reader.size_bytes}")
    click.echo(f"batches: {reader.batches}")
    click.echo(f"groups: {reader.groups}")
    click.echo(f"messages: {inspection.publishes}")
    click.echo(f"copies: {inspection.entries}")
    click.echo(f"settled: {inspection.settles}")
    click.echo(f"returned: {inspection.returns}")
    click.echo(f"delayed: {inspection.delays}")
    if inspection.taken:
        click.echo(f"ids: {inspection.taken}")
    click.echo(f"living: {_amount(inspection.copies.values())}")
    for queue_id, copies in sorted(inspection.copies.items()):
        lost = ", which the definitions do not know" if names and queue_id not in names else ""
        click.echo(f"{_kind(queue_id, names)} {_named(queue_id, names)}{lost}: {_amount([copies])}")
    for holder_id, ids in sorted(inspection.ids.items()):
        click.echo(f"{_kind(holder_id, names)} {_named(holder_id, names)}: {len(ids.keys)} ids")
    _check_streams(streams, names)
    findings = reader.findings + streams.findings
    for finding in findings:
        click.echo(f"{'error' if finding.damage else 'note'}: {finding}")
    if wrong:
        click.echo(f"error: {wrong}")
    errors = sum(finding.damage for finding in findings) + bool(wrong)
    click.echo(f"errors: {errors}")
    sys.exit(errors > 0)


def _check_streams(reader: "StreamsReader", names: Names) -> None:
    """Read the streams, and print their figures if there are any."""
    for _ in reader.read():
        pass
    if not reader.segments:
        return
    click.echo(f"stream segments: {reader.segments}")
    click.echo(f"stream bytes: {reader.size_bytes}")
    click.echo(f"stream chunks: {reader.chunks}")
    for stream, figures in reader.streams.items():
        lost = ", which the definitions do not know" if names and stream not in names else ""
        offsets = f", offsets {figures.first} to {figures.last}" if figures.count else ""
        click.echo(f"stream {_named(stream, names)}{lost}: {figures.count} messages, {figures.size} bytes{offsets}")


@store.command()
@directory_argument
@click.option("--living", "living_only", is_flag=True, help="Print only the messages that a broker would start with.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as a JSON object.")
def dump(directory: Path, living_only: bool, as_json: bool) -> None:
    """Print the records of the journal, one in a line, and then the messages of the streams.

    A message has a "publish" record for each queue that it entered, and for a delayed exchange that holds it ("held";
    the deadline is its due time). "settle" is the end of a copy, "return" its delivery. "delay" is the due time of a
    message that waits in its queue; with --living it is a field of the message. "id" is a message id that a queue or
    exchange remembers to recognise duplicates; it ends with a "settle" too. All records name the copy or the id by its
    position: the segment, as in the name of its file, and the offset in it. A "message" is one of a stream, with its
    offset. Errors are printed on stderr, and the exit status is then 1.
    """
    reader, streams = _open(directory)
    from amqpbroker.store.directory import dump
    from amqpbroker.store.files import Files

    names, wrong = _names(directory)
    if wrong:
        click.echo(f"error: {wrong}", err=True)
    told = dump.living(reader, Files()) if living_only else dump.everything(reader)
    for one in itertools.chain(told, dump.streamed(streams)):
        # click.echo would flush every line.
        sys.stdout.write((json.dumps(_fields(one, names)) if as_json else _line(one, names)) + "\n")
    findings = reader.findings + streams.findings
    for finding in findings:
        click.echo(f"{'error' if finding.damage else 'note'}: {finding}", err=True)
    sys.exit(bool(wrong) or any(finding.damage for finding in findings))


@store.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy(source: str, target: str) -> None:
    """Copy everything from one store into an empty one.

    FROM and TO are data directories, or URLs of databases such as postgresql://user@host/database. No broker may use
    them meanwhile. If the copy fails, no broker accepts TO: remove it.
    """
    from amqpbroker.store.copying import copying
    from amqpbroker.store.log import StoreError

    try:
        with _source(source) as read, _target(target) as written:
            copied = copying.copy(read, written)
    except (StoreError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{copied.definitions} definitions, {copied.messages} messages and {copied.segments} segments of streams"
        f" ({copied.size_bytes} bytes) copied"
    )


def _source(where: str) -> "AbstractContextManager[Source]":
    """Return the store that is copied. Raises StoreError."""
    if _is_url(where):
        _require_psycopg()
        from amqpbroker.cluster.copying import database_source

        return database_source(where)
    from amqpbroker.store.directory.copying import directory_source

    return directory_source(Path(where))


def _target(where: str) -> "AbstractContextManager[Target]":
    """Return the store into which the other one is copied. Raises StoreError."""
    if _is_url(where):
        _require_psycopg()
        from amqpbroker.cluster.copying import database_target

        return database_target(where)
    from amqpbroker.store.directory.copying import directory_target

    return directory_target(Path(where))


def _require_psycopg() -> None:
    """Raises StoreError."""
    from amqpbroker.store.log import StoreError

    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise StoreError(NEEDS_PSYCOPG.format(error)) from error


def _is_url(where: str) -> bool:
    return where.startswith(("postgresql://", "postgres://"))


def _open(directory: Path) -> tuple["JournalReader", "StreamsReader"]:
    """Return readers of the journal and of the streams.

    Raises ClickException if this is not a data directory of amqpbroker.
    """
    from amqpbroker.store.directory.inspection import JournalReader, is_owned, other_format
    from amqpbroker.store.directory.stream_inspection import StreamsReader
    from amqpbroker.store.files import Files

    other = other_format(directory)
    if other is not None:
        raise click.ClickException(other)
    owned = is_owned(directory)
    if owned:
        click.echo(f"note: a running broker owns {directory}: it may change while it is read", err=True)
    files = Files()
    return JournalReader(directory / "journal", files, owned), StreamsReader(directory / "streams", files, owned)


def _names(directory: Path) -> tuple[Names, str]:
    """Return the names of queues and exchanges, and the error if they cannot be read."""
    from amqpbroker.store.directory.names import DATABASE, read_names

    try:
        return read_names(directory), ""
    except (sqlite3.Error, OSError) as error:
        return {}, f"{directory / DATABASE}: {error}"


def _amount(queues: "Iterable[Copies]") -> str:
    counted = [(len(copies.positions), copies.size) for copies in queues]
    return f"{sum(count for count, _ in counted)} messages, {sum(size for _, size in counted)} bytes"


def _kind(number: int, names: Names) -> str:
    """Return the kind of the owner of copies: "queue", or "exchange" for a delayed exchange. The default is "queue"."""
    return names[number].kind if number in names else "queue"


def _named(number: int, names: Names) -> str:
    """Return the name of a queue or exchange, with its vhost unless that is /."""
    if number not in names:
        return f"#{number}"
    _, vhost, name = names[number]
    return _word(name.encode()) + (f" vhost={_word(vhost.encode())}" if vhost != "/" else "")


def _line(one: "Told", names: Names) -> str:
    from amqpbroker.store.directory.dump import Delayed, Published, Returned, Streamed, Taken
    from amqpbroker.store.directory.inspection import shown

    if isinstance(one, Published):
        due = f" due={_time(one.due_ms)}" if one.due_ms else ""
        rest = "..." if one.size > len(one.body) else ""
        holder = "held" if _kind(one.queue_id, names) == "exchange" else "queue"
        return (
            f"publish {shown(one.position)} {holder}={_named(one.queue_id, names)} sequence={one.sequence}"
            f" deadline={_time(one.deadline_ms)} count={one.delivery_count}{due} exchange={_word(one.exchange)}"
            f" key={_word(one.routing_key)} size={one.size} body={_quoted(one.body, whole=not rest)}{rest}"
        )
    if isinstance(one, Returned):
        return f"return {shown(one.position)} count={one.delivery_count}"
    if isinstance(one, Delayed):
        return f"delay {shown(one.position)} due={_time(one.due_ms)}"
    if isinstance(one, Taken):
        holder = f"{_kind(one.holder_id, names)}={_named(one.holder_id, names)}"
        return (
            f"id {shown(one.position)} {holder} sequence={one.sequence} expires={_time(one.expires_ms)}"
            f" id={_quoted(one.key)}"
        )
    if isinstance(one, Streamed):
        rest = "..." if one.size > len(one.body) else ""
        return (
            f"message stream={_named(one.stream, names)} offset={one.offset} time={_time(one.written_ms)}"
            f" exchange={_word(one.exchange)} key={_word(one.routing_key)} size={one.size}"
            f" body={_quoted(one.body, whole=not rest)}{rest}"
        )
    return f"settle {shown(one.position)}"


def _word(name: bytes) -> str:
    """Return a name as it is if it is unambiguous, else in quotes."""
    quoted = _quoted(name)
    plain = quoted[1:-1]
    return plain if quoted[0] == "'" and plain and not set(plain) & set(" '\"\\") and plain[0] != "#" else quoted


def _quoted(data: bytes, whole: bool = True) -> str:
    """Return data as Python writes it, as text if it is UTF-8 and as bytes if not, without control characters."""
    try:
        return repr(codecs.getincrementaldecoder("utf-8")().decode(data, whole))
    except UnicodeDecodeError:
        return repr(data)


def _time(deadline_ms: int) -> str:
    if not deadline_ms:
        return "-"
    try:
        return datetime.fromtimestamp(deadline_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return f"{deadline_ms}ms"


def _fields(one: "Told", names: Names) -> dict[str, Any]:
    """Return the fields of a record by name."""
    from amqpbroker.store.directory.dump import Delayed, Published, Returned, Streamed, Taken
    from amqpbroker.store.directory.inspection import shown

    if isinstance(one, Published):
        kind, vhost, name = names.get(one.queue_id, ("queue", None, None))
        return {
            "record": "publish",
            "position": shown(one.position),
            "queue_id": one.queue_id,
            "vhost": vhost,
            "queue": name if kind == "queue" else None,
            "held_by": name if kind == "exchange" else None,
            "sequence": one.sequence,
            "deadline_ms": one.deadline_ms or None,
            "delivery_count": one.delivery_count,
            "due_ms": one.due_ms or None,
            "exchange": one.exchange.decode(errors="backslashreplace"),
            "routing_key": one.routing_key.decode(errors="backslashreplace"),
            "size": one.size,
            "body": one.body.decode(errors="backslashreplace"),
        }
    if isinstance(one, Returned):
        return {"record": "return", "position": shown(one.position), "delivery_count": one.delivery_count}
    if isinstance(one, Delayed):
        return {"record": "delay", "position": shown(one.position), "due_ms": one.due_ms or None}
    if isinstance(one, Taken):
        kind, vhost, name = names.get(one.holder_id, ("queue", None, None))
        return {
            "record": "id",
            "position": shown(one.position),
            "holder_id": one.holder_id,
            "vhost": vhost,
            kind: name,
            "sequence": one.sequence,
            "expires_ms": one.expires_ms or None,
            "id": one.key.decode(errors="backslashreplace"),
        }
    if isinstance(one, Streamed):
        _, vhost, name = names.get(one.stream, ("queue", None, None))
        return {
            "record": "message",
            "stream_id": one.stream,
            "vhost": vhost,
            "stream": name,
            "offset": one.offset,
            "time_ms": one.written_ms,
            "exchange": one.exchange.decode(errors="backslashreplace"),
            "routing_key": one.routing_key.decode(errors="backslashreplace"),
            "size": one.size,
            "body": one.body.decode(errors="backslashreplace"),
        }
    return {"record": "settle", "position": shown(one.position)}

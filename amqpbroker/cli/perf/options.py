"""Options that all commands of `amqpbroker perf` have, and their values."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import click

from amqpbroker.cli.json_text import decoded
from amqpbroker.cli.number import LONGEST_S, SECONDS, Number
from amqpbroker.cli.perf.access import Tls, Uri
from amqpbroker.cli.perf.client import CHANNEL_MAX, Access
from amqpbroker.cli.perf.progress import Manner
from amqpbroker.cli.perf.schedule import Step
from amqpbroker.cli.renamed import Renamed
from amqpbroker.wire.properties import PROPERTIES
from amqpbroker.wire.values import Field, Table, longstr

#: AMQP's names of properties -> their names in the encoder, if they differ.
_NAMES = {"type": "message_type"}


Command = TypeVar("Command", bound=Callable[..., Any])
#: Largest number of connections at the same time.
CONNECTIONS = 65_535
CHANNELS = Number(1, CHANNEL_MAX)
#: Largest number of queues, whose names are all in memory.
QUEUES = Number(1, 1_000_000)
#: Largest message of RabbitMQ in bytes, whatever its settings.
SIZE = Number(0, 512 * 1024 * 1024)
#: Rate in messages a second.
RATE = Number(0.000_001, 1e9)
_RATE_OR_PAUSE = Number(0.0, RATE.high)
DEFAULT_SECONDS = 10.0


def parsed(text: str) -> dict[str, Any]:
    """Return the pairs of an option; values that look like numbers, true or false are converted. Raises ValueError."""
    if text.lstrip().startswith("{"):
        try:
            found: dict[str, Any] = decoded(text)
        except ValueError as error:
            raise ValueError(f"this is not valid JSON: {error}") from None
        return found
    pairs = {}
    for part in filter(None, text.split(",")):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise ValueError(f"{part} is not of the form KEY=VALUE; or write a JSON object")
        pairs[key.strip()] = _scalar(value.strip())
    return pairs


def table_of(values: dict[str, Any]) -> Table:
    """Return values as a field table. Raises ValueError for a value that a field table cannot have."""
    return {key: _field(key, value) for key, value in values.items()}


def properties_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return message properties for the wire; other names become headers. Raises ValueError.

    content-type, content_type and contentType are the same. A timestamp is in seconds since 1970, or as in ISO 8601.
    """
    found: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    kinds = {name: kind for name, _, kind in PROPERTIES}
    for key, value in values.items():
        name = re.sub("-|(?<=[a-z])(?=[A-Z])", "_", key).lower()
        name = _NAMES.get(name, name)
        if name == "headers" and isinstance(value, dict):
            headers |= value
        elif name not in kinds or name == "headers":
            headers[key] = value
        elif kinds[name] == "shortstr":
            raw = str(value).encode()
            if len(raw) > 255:
                raise ValueError(f"{key} is longer than 255 bytes")
            found[name] = raw
        elif name == "timestamp" and isinstance(value, str):
            found[name] = _timestamp(key, value)
        else:
            most = 255 if kinds[name] == "octet" else (1 << 64) - 1
            if not isinstance(value, int) or not 0 <= value <= most:
                raise ValueError(f"{key} must be a whole number from 0 to {most}")
            found[name] = value
    if headers:
        found["headers"] = table_of(headers)
    return found


def _timestamp(key: str, text: str) -> int:
    try:
        seconds = int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        seconds = -1
    if seconds < 0:
        raise ValueError(f"{key} must be seconds since 1970, or of the form 2007-12-03T10:15:30+01:00")
    return seconds


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def _field(key: str, value: Any) -> Field:
    if value is None:
        return Field("V", None)
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{key} is too large a number")
        return Field("I", value) if -(1 << 31) <= value < 1 << 31 else Field("l", value)
    if isinstance(value, float):
        return Field("d", value)
    if isinstance(value, dict):
        return Field("F", table_of(value))
    if isinstance(value, list):
        return Field("A", [_field(key, one) for one in value])
    return longstr(str(value))


class Measurement(click.Command):
    """A command whose option -h is the broker's address, as in PerfTest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[-1:] == ["-h"]:
            raise click.UsageError("-h is the broker's address, as in PerfTest; help is --help", ctx)
        return super().parse_args(ctx, args)


def measurement(**more: Any) -> Callable[[Callable[..., Any]], Measurement]:
    """Return the decorator of a command. more: arguments of click.command."""
    return click.command(cls=Measurement, context_settings={"help_option_names": ["--help"]}, **more)


def _uri(context: click.Context, parameter: click.Parameter, text: str | None) -> Uri:
    """Parse a URI. Errors do not repeat it, because it may have a password."""
    try:
        return Uri() if text is None else Uri.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def pairs(context: click.Context, parameter: click.Parameter, text: str | None) -> dict[str, Any]:
    """Parse key=value,key=value, or a JSON object."""
    try:
        return {} if text is None else parsed(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def rates(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Step, ...]:
    """Parse RATE:SECONDS, which may be repeated."""
    return _steps(texts, _RATE_OR_PAUSE)


def sizes(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Step, ...]:
    """Parse SIZE:SECONDS, which may be repeated."""
    return _steps(texts, SIZE)


def size_range(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Parse MIN:MAX, both included."""
    if text is None:
        return None
    least, colon, most = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} has no colon: write the smallest and the largest size, such as 100:2000")
    try:
        found = SIZE.parse(least), SIZE.parse(most)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}; write such as 100:2000") from None
    if found[0] > found[1]:
        raise click.BadParameter(f"{text!r} begins with the larger size: write {found[1]}:{found[0]}")
    return found


def _steps(texts: tuple[str, ...], value: Number) -> tuple[Step, ...]:
    try:
        return tuple(Step.parse(text, value) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def valid(option: str, make: Callable[[dict[str, Any]], dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """Return the result of `make` for the values of an option. Its ValueError becomes a UsageError."""
    try:
        return make(values)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


_OPTIONS = (
    click.option(
        "-h",
        "--url",
        "uri",
        cls=Renamed,
        before=("--uri",),
        metavar="URL",
        callback=_uri,
        envvar="AMQPBROKER_PERF_URI",
        show_envvar=True,
        help="The broker: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://...  [default: guest on this machine]",
    ),
    click.option(
        "-b",
        "--heartbeat",
        metavar="SECONDS",
        type=Number(0, 65_535),
        help="Heartbeat; 0 for none.  [default: as the broker suggests]",
    ),
    click.option(
        "--cacertfile",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        help="Trusted certificates, with amqps.",
    ),
    click.option(
        "--certfile",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        help="Own certificate, with amqps.",
    ),
    click.option(
        "--keyfile", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Key of the own certificate."
    ),
    click.option("-se", "--sasl-external", is_flag=True, help="Log in with the own certificate instead of a password."),
    click.option("--insecure", is_flag=True, help="With amqps, do not verify the broker's certificate."),
    click.option("-j", "--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
    click.option("--quiet", is_flag=True, help="Show only the result and errors."),
    click.option(
        "-i",
        "--interval",
        metavar="SECONDS",
        type=Number(0.5, LONGEST_S),
        default=1.0,
        help="Interval of the progress.  [default: 1]",
    ),
)


_QUEUE_OPTIONS = (
    click.option("--durable", is_flag=True, help="Durable queues instead of exclusive ones."),
    click.option(
        "-qa",
        "--queue-args",
        metavar="KEY=VALUE,...",
        callback=pairs,
        help="Arguments of the queues, or a JSON object.",
    ),
)


def with_access(command: Command) -> Command:
    """Add the options for the broker and for the output to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def with_queue(command: Command) -> Command:
    """Add the options for the kind of its own queues to a command."""
    for option in reversed(_QUEUE_OPTIONS):
        command = option(command)
    return command


def access(given: dict[str, Any]) -> Access:
    """Remove the options for the broker, and return the access to it. Raises UsageError."""
    uri: Uri = given.pop("uri")
    tls = Tls(*(given.pop(name) for name in ("cacertfile", "certfile", "keyfile", "insecure")))
    if tls.keyfile and not tls.certfile:
        raise click.UsageError("--keyfile is the key of a certificate: give the certificate with --certfile")
    external = given.pop("sasl_external")
    if external and not (uri.tls and tls.certfile):
        raise click.UsageError("--sasl-external needs an amqps:// address and --certfile")
    return Access(replace(uri, user="") if external else uri, given.pop("heartbeat"), tls, external)


def manner(given: dict[str, Any]) -> Manner:
    """Remove the options for the output, and return them."""
    return Manner(given.pop("as_json"), given.pop("quiet"), given.pop("interval"))


def time_option(what: str, *limits: str) -> Callable[[Command], Command]:
    """Return the decorator for the option `seconds`, see `duration`. limits: other flags that end a run."""
    until = f", or until {', '.join(limits)}" if limits else ""
    shown = f"{what}; 0: until Ctrl-C.  [default: {DEFAULT_SECONDS:.0f}{until}]"
    return click.option("-z", "--time", "seconds", metavar="SECONDS", type=SECONDS, help=shown)


def duration(seconds: float | None, has_limit: bool) -> float | None:
    """Return the time limit in seconds; None if the value is 0, or not given while another limit is."""
    if seconds is None:
        return None if has_limit else DEFAULT_SECONDS
    return seconds or None

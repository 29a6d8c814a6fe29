"""`amqpbroker serve`: from flags to a running broker."""

import dataclasses
import logging
import os
import sys
from pathlib import Path

import click

from amqpbroker import __version__, config


def _assignments(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """`--set KEY=VALUE` as (key, value) pairs."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value} is not of the form KEY=VALUE")
    pairs = (value.partition("=") for value in values)
    return tuple((key.strip(), text.strip()) for key, _, text in pairs)


@click.command()
@click.option("--host", help="Host name or address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port for AMQP; 0 takes a free one.  [default: 5672]")
@click.option("--management-port", type=click.IntRange(0, 65535), help="Port for management; 0 takes a free one.")
@click.option(
    "--definitions", type=click.Path(), metavar="FILE", help="Definitions to import, as RabbitMQ exports them."
)
@click.option("--data-dir", type=click.Path(file_okay=False), help="Directory of what is kept.  [default: the user's]")
@click.option("--in-memory", is_flag=True, help="Keep nothing on disk.")
@click.option(
    "--ready-file",
    "ready_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write pid and ports here, as JSON, once ready.",
)
@click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_assignments,
    help="Set any setting, such as heartbeat=30; repeatable.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="warning",
    show_default=True,
    help="How much to log, on stderr.",
)
def serve(
    host: str | None,
    port: int | None,
    management_port: int | None,
    definitions: str | None,
    data_dir: str | None,
    in_memory: bool,
    ready_path: Path | None,
    assignments: tuple[tuple[str, str], ...],
    log_level: str,
) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    if data_dir and in_memory:
        raise click.UsageError("--data-dir and --in-memory exclude each other")
    logging.basicConfig(stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    if host is not None and ":" in host:
        host = f"[{host.strip('[]')}]"  # an IPv6 address, whose last part is not a port
    flags = {
        "listeners.tcp.default": (host, port),
        "management.tcp.port": (management_port,),
        "load_definitions": (definitions,),
    }
    flagged = [(key, str(value)) for key, values in flags.items() for value in values if value is not None]
    try:
        settings = dataclasses.replace(
            config.load((*assignments, *flagged), os.environ), data_dir=data_dir or "", in_memory=in_memory
        )
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from error

    # Only here, so that a mistake in the command line is told without loading the broker.
    from amqpbroker.server import app, data, listeners, ready_file

    def on_ready(listening: list[app.Listening]) -> None:
        if ready_path is not None:
            ready_file.write(ready_path, listening)
        where = ", ".join(f"{protocol} {listeners.shown(host, port)}" for protocol, host, port in listening)
        click.echo(f"amqpbroker {__version__} ready: {where}", err=True)

    try:
        status = app.run(settings, on_ready)
    except (listeners.ListenError, data.StoreError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error
    finally:
        if ready_path is not None:
            ready_file.remove(ready_path)
    sys.exit(status)

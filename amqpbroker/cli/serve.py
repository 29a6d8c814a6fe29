"""`amqpbroker serve`: from flags to a running broker."""

import dataclasses
import ipaddress
import logging
import sys
from pathlib import Path
from typing import Any

import click

from amqpbroker import __version__
from amqpbroker.cli.flags import loaded, with_settings
from amqpbroker.compiled import how_it_runs
from amqpbroker.config import Management
from amqpbroker.config.effective import effective
from amqpbroker.server.log import set_up

log = logging.getLogger(__name__)


@click.command()
@with_settings
@click.option("--data-dir", type=click.Path(file_okay=False), help="Directory of what is kept.  [default: the user's]")
@click.option("--in-memory", is_flag=True, help="Keep nothing on disk.")
@click.option(
    "--ready-file",
    "ready_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write pid and ports here, as JSON, once ready.",
)
@click.option("--testing", is_flag=True, help="For tests: time, assertions and faults by HTTP. On loopback only.")
def serve(
    data_dir: str | None,
    in_memory: bool,
    ready_path: Path | None,
    testing: bool,
    **given: Any,
) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    if data_dir and in_memory:
        raise click.UsageError("--data-dir and --in-memory exclude each other")
    found = loaded(given)
    if testing:
        _check_for_testing(found.config.management)
    try:
        set_up(found.config.log)
    except OSError as error:
        raise click.ClickException(f"cannot log to {error.filename}: {error.strerror}") from error
    for warning in found.warnings:
        log.warning("%s", warning)
    settings = dataclasses.replace(found.config, data_dir=data_dir or "", in_memory=in_memory)

    # Only here, so that a mistake in the command line is told without loading the broker.
    from amqpbroker.server import app, data, definitions, listeners, ready_file, tls

    def on_ready(listening: list[app.Listening]) -> None:
        if ready_path is not None:
            ready_file.write(ready_path, listening)
        where = ", ".join(f"{protocol} {listeners.shown(host, port)}" for protocol, host, port in listening)
        click.echo(f"amqpbroker {__version__} ({how_it_runs()}) ready: {where}", err=True)

    make: app.MakeServer | None = None
    if testing:
        from amqpbroker.testing.instances import Instances

        make = Instances()
    try:
        status = app.run(settings, on_ready, {row.key: row.value for row in effective(found)}, make)
    except (
        app.PatternError,
        definitions.UnusableDefinitionsError,
        listeners.ListenError,
        data.StoreError,
        tls.TlsError,
    ) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error
    finally:
        if ready_path is not None:
            ready_file.remove(ready_path)
    sys.exit(status)


def _check_for_testing(management: Management) -> None:
    """Who can reach the API can move the broker's time. Raises UsageError."""
    hosts = [(management.host, management.port), (management.tls_host, management.tls_port)]
    there = [host for host, port in hosts if port is not None]
    if not there:
        raise click.UsageError("--testing needs the management API: set management.tcp.port")
    for host in there:
        if not _is_loopback(host):
            raise click.UsageError(f"--testing needs the management API on loopback, not on {host}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"

"""`amqpbroker serve`: runs a broker with the settings of flags, files and the environment."""

import dataclasses
import ipaddress
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amqpbroker.cli.flags import loaded, with_settings
from amqpbroker.config import Config, Management
from amqpbroker.config.effective import effective
from amqpbroker.server.log import set_up

if TYPE_CHECKING:
    from amqpbroker.server.shared_vhosts import SharedStore

log = logging.getLogger(__name__)


@click.command()
@with_settings
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Directory of stored data.  [default: amqpbroker in the user's data directory]",
)
@click.option("--in-memory", is_flag=True, help="Keep nothing on disk.")
@click.option(
    "--ready-file",
    "ready_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the process id and ports to this file, as JSON, once ready.",
)
@click.option(
    "--testing", is_flag=True, help="Serve the testing API over HTTP: clock, assertions and faults. On loopback only."
)
def serve(
    data_dir: str | None,
    in_memory: bool,
    ready_path: Path | None,
    testing: bool,
    **given: Any,
) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    if data_dir and in_memory:
        raise click.UsageError("--data-dir and --in-memory exclude each other: give one of them")
    found = loaded(given)
    if in_memory and found.config.store_url:
        raise click.UsageError("--in-memory and a store exclude each other: give one of them")
    if testing:
        _check_for_testing(found.config.management)
    try:
        set_up(found.config.log)
    except OSError as error:
        raise click.ClickException(f"cannot log to {error.filename}: {error.strerror}") from error
    for warning in found.warnings:
        log.warning("%s", warning)
    settings = dataclasses.replace(found.config, data_dir=data_dir or "", in_memory=in_memory)

    # Imported here, so that a mistake in the command line is reported without loading the broker.
    from amqpbroker.cli.screen import Screen
    from amqpbroker.server import app, data, definitions, listeners, ready_file, tls

    screen = Screen(settings, terminal=sys.stderr.isatty())
    instances: app.MakeServer = app.make_server
    if testing:
        from amqpbroker.testing.instances import Instances

        instances = Instances()

    def make(*arguments: Any) -> app.Server:
        screen.server = instances(*arguments)
        return screen.server

    def on_ready(listening: list[app.Listening]) -> None:
        if ready_path is not None:
            ready_file.write(ready_path, listening)
        screen.ready(listening)

    try:
        status = app.run(settings, on_ready, {row.key: row.value for row in effective(found)}, make, _shared_store)
        screen.stopped()
    except (
        app.PatternError,
        definitions.UnusableDefinitionsError,
        listeners.ListenError,
        data.StoreError,
        tls.TlsError,
    ) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.ClickException(f"cannot write {error.filename}: {reason}" if error.filename else reason) from error
    finally:
        if ready_path is not None:
            ready_file.remove(ready_path)
    sys.exit(status)


def _shared_store(config: Config, process: str) -> "SharedStore":
    """Return the database of the settings. Raises StoreError, ListenError, PatternError."""
    try:
        from amqpbroker.cluster.shared_database import SharedDatabase
    except ImportError as error:
        from amqpbroker.store.log import NEEDS_PSYCOPG, StoreError

        raise StoreError(NEEDS_PSYCOPG.format(error)) from error
    return SharedDatabase(config, process)


def _check_for_testing(management: Management) -> None:
    """Raises UsageError if clients on other machines could reach the API, and so move the broker's clock."""
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

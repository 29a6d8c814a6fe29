"""`python -m interop`: run real clients, each against its own broker process, and print the matrix."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Sequence
from functools import partial

import click
from rich.console import Console

from interop import matrix
from interop.broker import AmqpBroker, Broker
from interop.clients import CLIENTS
from interop.install import install
from interop.rabbitmq import RabbitMQ
from interop.run import run_client


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[CLIENT]...", nargs=-1, type=click.Choice([client.name for client in CLIENTS]))
@click.option(
    "--install", "must_install", is_flag=True, help="First install the dependencies of the clients (Debian, as root)."
)
@click.option("--only-install", is_flag=True, help="Install these dependencies, and run no client.")
@click.option(
    "--target-command",
    metavar="COMMAND",
    help="The broker's command, to which `serve --port ...` is appended.  [default: python -m amqpbroker]",
)
@click.option(
    "--rabbitmq", is_flag=True, help="Run against Debian's RabbitMQ instead, which is the reference for the scripts."
)
@click.option("--write-docs", is_flag=True, help="Write the matrix to docs/interop.md.")
@click.option("--verbose", is_flag=True, help="Show the standard error output of failing clients.")
def main(
    names: tuple[str, ...],
    must_install: bool,
    only_install: bool,
    target_command: str | None,
    rabbitmq: bool,
    write_docs: bool,
    verbose: bool,
) -> None:
    """Run the named clients, by default all; exit with 1 if any check failed or a client could not run."""
    # A shell makes background programs ignore the signal, and their children inherit that. The examples end by the
    # signal.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    clients = [client for client in CLIENTS if not names or client.name in names]
    console = Console(width=None if sys.stdout.isatty() else 160)
    if must_install or only_install:
        for failure in install(clients, rabbitmq=rabbitmq):
            console.print(f"not installed: {failure}", markup=False, style="red")
    if only_install:
        return  # a client that is not installed is a failure when it is run

    command = shlex.split(target_command) if target_command else None

    def new_broker(options: Sequence[str] = ()) -> Broker:
        return RabbitMQ() if rabbitmq else AmqpBroker(command, options)

    results = []
    for client in clients:
        console.print(f"{client.name} ...", end=" ", highlight=False)
        result = run_client(client, partial(new_broker, client.broker_options))
        console.print("FAIL" if result.failures else "ok", highlight=False)
        results.append(result)
        if result.failures and verbose:
            console.print(result.output, markup=False, highlight=False, soft_wrap=True)

    broker = new_broker()
    version = broker.version
    broker.close()
    matrix.show(results, version, console)
    if write_docs:
        matrix.write(results, version)
    sys.exit(1 if any(result.failures for result in results) else 0)


if __name__ == "__main__":
    main()

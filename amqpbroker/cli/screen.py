"""The ready screen of `amqpbroker serve` on a terminal; elsewhere one line, which tools parse."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap

import click

from amqpbroker import __version__
from amqpbroker.compiled import advice_once, how_it_runs, is_compiled
from amqpbroker.config import Config
from amqpbroker.config.config import GUEST
from amqpbroker.server.app import Listening, Server
from amqpbroker.server.directories import default_directory
from amqpbroker.server.listeners import shown

#: Protocol -> its label, and the scheme of its URL.
_PROTOCOLS = {
    "amqp": ("AMQP", "amqp"),
    "amqp/ssl": ("AMQP, TLS", "amqps"),
    "http": ("Management", "http"),
    "https": ("Management", "https"),
    "http/prometheus": ("Metrics", "http"),
    "https/prometheus": ("Metrics", "https"),
}

#: Addresses of all interfaces -> the one to connect to from this machine.
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not listened on

#: Width of the advice in characters.
_WIDTH = 80


class Screen:
    """Messages when the broker is ready, after each restart, and at the end. terminal: a person reads them."""

    def __init__(self, config: Config, terminal: bool) -> None:
        self._config = config
        self._terminal = terminal
        #: The server that is about to start, which knows its users.
        self.server: Server | None = None
        self._is_ready = False

    def ready(self, listening: list[Listening]) -> None:
        """Show that clients can connect."""
        if not self._terminal:
            where = ", ".join(f"{protocol} {shown(host, port)}" for protocol, host, port in listening)
            click.echo(f"amqpbroker {__version__} ({how_it_runs()}) ready: {where}", err=True)
        elif self._is_ready:
            click.echo("Restarted. Press Ctrl-C to stop.", err=True)
        else:
            click.echo("\n".join(self._lines(listening)), err=True)
        self._is_ready = True

    def stopped(self) -> None:
        """Show that the broker has ended."""
        if self._terminal and self._is_ready:
            kept = (
                "It ran in memory, so nothing is stored."
                if self._config.in_memory
                else f"Data is in {self._directory()}."
            )
            click.echo(f"amqpbroker has stopped. {kept}", err=True)

    def _lines(self, listening: Iterable[Listening]) -> list[str]:
        guest = self._has_guest()
        rows = [
            (_PROTOCOLS.get(each.protocol, (each.protocol, ""))[0], self._url(each, guest), self._note(each))
            for each in listening
        ]
        if guest:
            anywhere = GUEST.name not in self._config.loopback_users
            rows.append(("Login", f"user guest, password guest{'' if anywhere else ' (from this machine only)'}", ""))
        rows.append(("Data", "in memory, gone at the end" if self._config.in_memory else self._directory(), ""))
        how = "compiled" if is_compiled() else "interpreted"
        head = (
            f"amqpbroker {__version__} ({how}) is ready. It is compatible with RabbitMQ {self._config.compat.version}."
        )
        lines = [click.style(head, bold=True), ""]
        lines += [f"  {label:<12}{value}{note}" for label, value, note in rows]
        return [*lines, *_advice(), "", "Press Ctrl-C to stop."]

    def _url(self, listening: Listening, guest: bool) -> str:
        protocol, host, port = listening
        scheme = _PROTOCOLS.get(protocol, ("", protocol))[1]
        where = shown(_ANYWHERE.get(host, host), port)
        if scheme.startswith("amqp"):
            return f"{scheme}://{'guest:guest@' if guest else ''}{where}/"
        path = self._config.prometheus.path if "prometheus" in protocol else f"{self._config.management.path_prefix}/"
        return f"{scheme}://{where}{path}"

    def _note(self, listening: Listening) -> str:
        return f"  (on all interfaces: {shown(listening.host, listening.port)})" if listening.host in _ANYWHERE else ""

    def _has_guest(self) -> bool:
        """Return whether the default user can still log in with the default password."""
        return self.server is not None and self.server.broker.users.authenticate(GUEST.name, b"guest") is not None

    def _directory(self) -> str:
        named = self._config.data_dir
        return str(Path(named).absolute() if named else default_directory())


def _advice() -> list[str]:
    """Return what an interpreted broker costs and what to do about it, in lines; empty if it was shown before."""
    text, run, command = advice_once().partition(" run: ")
    if not text:
        return []
    lines = ["", *wrap(text + run.rstrip(), _WIDTH, break_on_hyphens=False)]
    return [*lines, *([f"  {command}"] if command else []), "This advice is shown once."]

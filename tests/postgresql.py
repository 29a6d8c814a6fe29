"""PostgreSQL servers of a test's own, on loopback: a primary, its standbys, and their ends.

They need the package `postgresql`. Without it the tests are skipped, unless POSTGRESQL_TESTS=required.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from tests.disk import Disk

#: Where packages put the programs of the server, besides the PATH.
_PLACES = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin")
#: The server refuses to run as root; Debian's package makes this user.
_USER = "postgres" if hasattr(os, "geteuid") and os.geteuid() == 0 else None

START_S = 60

_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
#: The number of things in a database, besides a broker's schema, that a new one does not have.
_CHANGES = """
    SELECT (SELECT count(*) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
                AND nspname NOT IN ('public', 'information_schema'))
        + (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        + (SELECT count(*) FROM pg_largeobject_metadata)
        + (SELECT count(*) FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
            WHERE datname = current_database())
"""
#: For servers whose machine never loses power.
UNSAFE = ("fsync=off", "full_page_writes=off")


def programs() -> Path | None:
    """Return the directory of the newest server's programs; None if there is none."""
    found = [path for place in _PLACES for path in sorted(Path("/").glob(place[1:]))]
    found = [path for path in found if (path / "initdb").exists()]
    named = shutil.which("initdb")
    return found[-1] if found else Path(named).parent if named else None


def require() -> Path:
    """Return the programs, or skip the test."""
    found = programs()
    if found is None:
        if os.environ.get("POSTGRESQL_TESTS") == "required":
            pytest.fail("PostgreSQL is not installed, and POSTGRESQL_TESTS=required")
        pytest.skip("PostgreSQL is not installed")
    return found


class PostgreSQL:
    """A server with data of its own, in a directory that `close` removes.

    The database `postgres` belongs to the user `postgres`, who needs no password. disk: that of the directory in
    `disk_for`, if there is one.
    """

    def __init__(self, *settings: str, port: int = 0, disk_for: Literal["", "data", "wal"] = "") -> None:
        """settings: such as `fsync=off`. port: 0 for a free one. disk_for: directory that gets a disk of its own: `wal`
        has the write-ahead log, `data` everything else.
        """
        self.port = port or free_port()
        self._programs = require()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        #: Databases that were used and are empty again.
        self._empty: list[str] = []
        self._directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        if _USER is not None:
            shutil.chown(self._directory, _USER)
        self.disk: Disk | None = None
        if disk_for:
            mounted = self._directory / disk_for
            mounted.mkdir()
            self.disk = Disk(mounted, _USER or "root")

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    def create(self) -> None:
        """Make an empty server, and start it."""
        self._run(
            "initdb",
            "-D",
            "data",
            *self._waldir("-X"),
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        )
        self.start()

    def copy(self, primary: "PostgreSQL", name: str, port: int = 0) -> None:
        """Become a standby of a server under a name, and start. port: that of a proxy in front of the server, or 0."""
        self._run(
            "pg_basebackup", "-D", "data", *self._waldir("--waldir"), "-R", "-X", "stream", "-c", "fast", "--no-sync",
            "-d", f"host=127.0.0.1 port={port or primary.port} user=postgres application_name={name}",
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        settings = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            *self._settings,
        )
        arguments = [part for setting in settings for part in ("-c", setting)]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._directory / "data", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=_USER, cwd=self._directory,
            )  # fmt: skip
        end = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url).close()
                break
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"PostgreSQL does not start: {self.log}") from None
                time.sleep(0.05)

    def execute(self, query: str) -> list[tuple[object, ...]]:
        """Execute a statement, outside of a transaction."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Return the URL of an empty database that nobody else uses."""
        if self._empty:
            return self._empty.pop()
        self._databases += 1
        name = f"database{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def give_back(self, url: str) -> None:
        """End all sessions with a database, and empty it for a later use: creating one takes the server 0.15 s."""
        with suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            connection.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
            if connection.execute(_CHANGES).fetchone() == (0,):
                self._empty.append(url)

    def promote(self) -> None:
        """Make a standby the primary."""
        self.execute("SELECT pg_promote()")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End all sessions and the server."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a failing machine does: without a word to its clients' sessions."""
        process = self._process
        if process is not None:
            # The processes of the server end by themselves when the first one is gone, but slowly.
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.kill()
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop all processes of the server: connections stay, and nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after `pause`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        pid = self._process.pid
        for one in (str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            # A worker of the server may have ended meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(one), number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(START_S)

    def close(self) -> None:
        """End the server, even if it is paused, and remove its data."""
        if self.is_running:
            self.resume()
        self._end(signal.SIGQUIT)
        if self.disk is not None:
            self.disk.close()
        shutil.rmtree(self._directory)

    def _waldir(self, option: str) -> tuple[str, str]:
        return option, str(self._directory / "wal")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], cwd=self._directory, user=_USER, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@contextmanager
def own_server(*settings: str) -> Iterator[PostgreSQL]:
    """Start a server, whose data does not survive the machine's end."""
    server = PostgreSQL(*UNSAFE, *settings)
    try:
        server.create()
        yield server
    finally:
        server.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port

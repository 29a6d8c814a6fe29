"""Brokers with one database: a primary, synchronous standbys, and proxies between all of them.

Brokers reach each other at the ports that they write into the table of leaderships. A trigger of the database replaces
these ports by those of proxies.
"""

import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote
from urllib.request import urlopen

from amqpbroker.cluster.shared_database import STEP_S
from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from tests.failover.proxy import Proxy
from tests.postgresql import PostgreSQL, free_port
from tests.process import ENVIRONMENT

LEASE_S = 3.0
#: Time in which something must have happened that takes seconds.
PATIENCE_S = 60.0

_EPOCHS = "SELECT log, epoch FROM amqpbroker.leadership"


class Databases:
    """A primary, and standbys of which one has to confirm each commit.

    servers: the ones that run; the first is the primary. ports: those of all, which never change. promoted_s: time of
    the last promotion.
    """

    def __init__(self, standbys: int, disk_for: Literal["", "data", "wal"] = "") -> None:
        """disk_for: as in `PostgreSQL`, for each server."""
        self._disk_for = disk_for
        self._settings = (
            "synchronous_standby_names=ANY 1 (*)" if standbys else "synchronous_standby_names=",
            "wal_keep_size=512MB",
            "max_wal_senders=10",
        )
        first = PostgreSQL(*self._settings[1:], disk_for=disk_for)
        first.create()
        self.promoted_s: float = 0.0
        self.servers = [first]
        self.ports = [first.port, *[free_port() for _ in range(standbys)]]
        self.replace_lost()

    @property
    def primary(self) -> PostgreSQL:
        return self.servers[0]

    def _require_standby(self, server: PostgreSQL) -> None:
        name, _, value = self._settings[0].partition("=")
        server.execute(f"ALTER SYSTEM SET {name} TO '{value}'")
        server.execute("SELECT pg_reload_conf()")

    def cut_standby(self) -> PostgreSQL:
        """Stop the replication of the last standby, and return that standby."""
        standby = self.servers[-1]
        standby.execute("ALTER SYSTEM SET primary_conninfo TO ''")
        standby.execute("SELECT pg_reload_conf()")
        end = time.monotonic() + PATIENCE_S
        while standby.execute("SELECT 1 FROM pg_stat_wal_receiver"):
            assert time.monotonic() < end, standby.log
            time.sleep(0.02)
        return standby

    def fail_over(self, to: PostgreSQL | None = None) -> PostgreSQL:
        """Kill the primary, and promote a standby, or the one that has most. Returns the new primary."""
        self.primary.kill()
        self.servers.pop(0).close()
        received = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn"
        chosen = to or max(self.servers, key=lambda server: int(str(server.execute(received)[0][0])))
        self.servers.sort(key=lambda server: server is not chosen)
        self.promoted_s = time.monotonic()
        self.primary.promote()
        end = time.monotonic() + PATIENCE_S
        while self.primary.execute("SELECT pg_is_in_recovery()")[0][0]:
            assert time.monotonic() < end, self.primary.log
            time.sleep(0.02)
        return self.primary

    def replace_lost(self) -> None:
        """Make all standbys of the primary anew: the ones that are left may have another history."""
        while len(self.servers) > 1:
            self.servers.pop().close()
        for port in self.ports:
            if port != self.primary.port:
                standby = PostgreSQL(*self._settings[1:], port=port, disk_for=self._disk_for)
                standby.copy(self.primary, f"standby{port}")
                self.servers.append(standby)
        if len(self.servers) > 1:
            self._require_standby(self.primary)

    def close(self) -> None:
        for server in self.servers:
            server.close()


class Broker:
    """A process of `amqpbroker serve --store`, with a proxy to each server of the database unless it is measured.

    proxies: by the port of the server. proxied: the next start uses them. relay_port: its port for other brokers, if it
    is fixed. relay: proxy to that port.
    """

    def __init__(
        self, directory: Path, name: str, lease_s: float = LEASE_S, proxied: bool = True, settings: Sequence[str] = ()
    ) -> None:
        """settings: further ones, as for --set."""
        self.name = name
        self._settings = settings
        self.proxies: dict[int, Proxy] = {}
        self.proxied = proxied
        self.relay: Proxy | None = None
        self.relay_port = 0
        self.directory = directory / name
        self.directory.mkdir(parents=True)
        self._ready = self.directory / "ready.json"
        self._lease_s = lease_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def start(self, ports: list[int]) -> None:
        """Start with a database that has servers at these ports."""
        if self.proxied:
            for port in ports:
                if port not in self.proxies:
                    self.proxies[port] = Proxy(port)
            ports = [self.proxies[port].port for port in ports]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        command = [
            sys.executable, "-m", "amqpbroker", "serve", "--port", "0", "--management-port", "0",
            "--store", f"postgresql://postgres@{hosts}/postgres",
            "--set", f"store.lease={int(self._lease_s * 1000)}ms",
            "--set", f"cluster_name={self.name}@localhost",
            "--data-dir", str(self.directory / "data"), "--ready-file", str(self._ready),
            *[argument for setting in self._settings for argument in ("--set", setting)],
        ]  # fmt: skip
        if self.relay_port:
            command += ["--set", f"store.address=127.0.0.1:{self.relay_port}"]
        self._ready.unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int | None:
        """Return the id of its process, None if it has ended."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def node(self) -> str:
        """Its name as of a node."""
        return f"{self.name}@localhost"

    @property
    def leads(self) -> bool:
        """Return whether it leads the default vhost."""
        return self.serves("/")

    def serves(self, vhost: str) -> bool:
        """Return whether it leads a vhost, as a load balancer would ask it."""
        if not self.is_running or not self._ready.exists():
            return False
        try:
            with urlopen(f"http://127.0.0.1:{self.port('http')}/leader/{quote(vhost, safe='')}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False

    def port(self, protocol: str = "amqp") -> int:
        """Return a port, once it listens."""
        end = time.monotonic() + PATIENCE_S
        while not self._ready.exists():
            assert self.is_running, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)
        port: int = json.loads(self._ready.read_text())[protocol][0][1]
        return port

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._ready.unlink(missing_ok=True)

    def stop(self) -> int:
        """End it in order; return the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)

    def close(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self.kill()
        for proxy in self.proxies.values():
            proxy.close()
        if self.relay is not None:
            self.relay.close()


class Brokers:
    """Several brokers with one database."""

    def __init__(
        self,
        directory: Path,
        databases: Databases,
        count: int,
        lease_s: float = LEASE_S,
        proxied: bool = True,
        settings: Sequence[str] = (),
        redirected: bool = False,
    ) -> None:
        """redirected: brokers reach each other by their proxies."""
        self.databases = databases
        self.all = [Broker(directory, f"broker{number}", lease_s, proxied, settings) for number in range(count)]
        if redirected:
            self._redirect()
        self.start_missing()

    def start_missing(self) -> None:
        """Start the brokers that do not run."""
        for broker in self.all:
            if not broker.is_running:
                broker.start(self.databases.ports)

    def _redirect(self) -> None:
        """Make brokers that are not started yet reach each other by their proxies."""
        making = Session(self.databases.primary.url, "tables of the test", PATIENCE_S)
        schema.make_tables(making)
        making.close()
        cases = ""
        for broker in self.all:
            broker.relay_port = fixed_port()
            broker.relay = Proxy(broker.relay_port)
            cases += f" WHEN {broker.relay_port} THEN {broker.relay.port}"
        self.databases.primary.execute(
            "CREATE FUNCTION amqpbroker.redirect() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN NEW.port := CASE NEW.port{cases} ELSE NEW.port END; RETURN NEW; END $$"
        )
        for table in ("leadership", "brokers"):
            self.databases.primary.execute(
                f"CREATE TRIGGER redirect BEFORE INSERT ON amqpbroker.{table}"
                " FOR EACH ROW EXECUTE FUNCTION amqpbroker.redirect()"
            )

    def __iter__(self) -> Iterator[Broker]:
        return iter(self.all)

    def leader(self, other_than: Broker | None = None, vhost: str = "/") -> Broker:
        """Wait until a broker leads a vhost, and return it."""
        end = time.monotonic() + PATIENCE_S
        while True:
            for broker in self.all:
                if broker is not other_than and broker.serves(vhost):
                    return broker
            assert time.monotonic() < end, self.logs
            time.sleep(0.01)

    def settled(self) -> dict[str, Broker]:
        """Wait until all vhosts have leaders, and none without clients moves by itself; return the leaders.

        Only for brokers that share vhosts.
        """
        running = [broker for broker in self.all if broker.is_running]
        for broker in running:
            broker.port()
        end = time.monotonic() + PATIENCE_S
        before: dict[str, Broker] = {}
        while True:
            led = self._led()
            counts = Counter(led.values())
            loads = [counts[broker.node] for broker in running]
            if sum(loads) == len(led) and max(loads) - min(loads) <= 1:
                named = {broker.node: broker for broker in running}
                leaders = {vhost: named[node] for vhost, node in led.items() if vhost}
                # Reading a vhost follows its leadership.
                if all(broker.serves(vhost) for vhost, broker in leaders.items()):
                    if leaders == before:
                        return leaders
                    # A move that was decided before may still be carried out.
                    before = leaders
                    time.sleep(2 * STEP_S)
            assert time.monotonic() < end, f"{led}\n{self.logs}"
            time.sleep(0.05)

    def _led(self) -> dict[str, str]:
        """Return the node that leads each vhost, "" if none does. The vhost "" has the definitions of all."""
        found = self.databases.primary.execute(
            "SELECT vhost_log.vhost, CASE WHEN until > clock_timestamp() AND NOT released THEN holder END"
            " FROM (SELECT vhost, 'v' || number AS log FROM amqpbroker.vhost_log WHERE NOT removed"
            " UNION ALL SELECT '', '0') AS vhost_log LEFT JOIN amqpbroker.leadership USING (log)"
        )
        return {str(vhost): str(holder or "") for vhost, holder in found}

    def epochs(self) -> dict[str, int]:
        """Return the number of takeovers of each log."""
        return {str(log): int(str(epoch)) for log, epoch in self.databases.primary.execute(_EPOCHS)}

    @property
    def logs(self) -> str:
        return "\n".join(f"--- {broker.name}\n{broker.log}" for broker in self.all)

    def close(self) -> None:
        for broker in self.all:
            broker.close()


def fixed_port() -> int:
    """Return a free port that the system gives to no other socket while the process that listens there is down."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port

"""Debian's RabbitMQ as the broker to run against: the reference for the expectations of the scripts.

Requires the package `rabbitmq-server`. All files of the node are in its own directory, and it has its own ports, so it
does not disturb other nodes (Erlang's port mapper `epmd`, which all nodes of a machine use, is started if none runs).
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from interop.broker import MAX_MESSAGE_SIZE, Broker

PLUGINS = "[rabbitmq_management,rabbitmq_consistent_hash_exchange,rabbitmq_shovel,rabbitmq_shovel_management].\n"

# Not /usr/sbin/rabbitmq-server: that wrapper changes to the user rabbitmq, and to that user's directories.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ(Broker):
    """One RabbitMQ node; durable state survives a restart."""

    def __init__(self, extra_config: str = "") -> None:
        """`extra_config` is appended to the node's rabbitmq.conf."""
        super().__init__()
        self.port = _free_port()
        self.management_port = _free_port()
        self._distribution_port = _free_port()
        management = f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
        config = f"loopback_users.guest = true\nmax_message_size = {MAX_MESSAGE_SIZE}\n{management}{extra_config}"
        (self.directory / "rabbitmq.conf").write_text(config)
        (self.directory / "enabled_plugins").write_text(PLUGINS)

    @property
    def version(self) -> str:
        home = re.search(r"rabbitmq_server-([\d.]+)", str(SERVER.resolve()))
        return f"RabbitMQ {home.group(1) if home else 'of unknown version'}"

    def _command(self) -> tuple[list[str], dict[str, str]]:
        directory = str(self.directory)
        return [str(SERVER)], {
            "HOME": directory,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"interop{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{directory}/data",
            "RABBITMQ_LOG_BASE": f"{directory}/log",
            "RABBITMQ_PID_FILE": f"{directory}/pid",
            "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/enabled_plugins",
        }

    def _ready(self) -> bool:
        """Return True if it is ready. RabbitMQ opens its listeners last, so an accepted connection means ready."""
        try:
            for port in (self.port, self.management_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

"""Closes the broker's sockets in forked processes, which would keep the port in use and connections open."""

import os
import socket
import stat
from collections.abc import Collection

#: Ports of the brokers that run in this process, by the id of the owner.
_ports: dict[int, Collection[int]] = {}

#: Directory of a process's file descriptors, on Linux and macOS.
_DESCRIPTORS = "/dev/fd"


def close_in_forks(owner: object, ports: Collection[int]) -> None:
    """Close sockets of these local ports in forked processes. They replace the ports of an earlier call for `owner`."""
    _ports[id(owner)] = ports
    if not ports:
        del _ports[id(owner)]


def _after_fork() -> None:
    ports = {port for each in _ports.values() for port in each}
    _ports.clear()
    if not ports:
        return
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for name in os.listdir(_DESCRIPTORS):
            if _port(int(name)) in ports:
                # The number stays in use, so that an owner of the socket cannot close another file with this number.
                os.dup2(null, int(name), inheritable=False)
    finally:
        os.close(null)


def _port(descriptor: int) -> int | None:
    """Return the local port of a socket, None for other files."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        name = sock.getsockname()
        return name[1] if isinstance(name, tuple) else None
    except OSError:
        return None
    finally:
        sock.detach()


if hasattr(os, "register_at_fork") and os.path.isdir(_DESCRIPTORS):
    os.register_at_fork(after_in_child=_after_fork)

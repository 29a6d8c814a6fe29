"""Listeners by protocol, under RabbitMQ's names, with their sockets and certificates."""

import contextlib
import socket

from amqpbroker.broker.node import Listening
from amqpbroker.config import Config, Listener
from amqpbroker.server.listeners import listen, shown
from amqpbroker.server.tls import TlsContexts

AMQP = "amqp"
AMQPS = "amqp/ssl"
HTTP = "http"
HTTPS = "https"
METRICS = "http/prometheus"
METRICS_TLS = "https/prometheus"
#: Protocols between brokers with one database: AMQP of clients whose connections other brokers relay, and HTTP of
#: brokers, which answer for the senders of their requests. They have no listeners of their own.
RELAYED = "amqp/relayed"
PEER = "http/peer"


def bind(config: Config) -> dict[str, list[socket.socket]]:
    """The sockets of each protocol that is listened for. Raises ListenError, and leaves none open then."""
    management, prometheus = config.management, config.prometheus
    wanted = {
        AMQP: (config.listeners, "--port", "--host"),
        AMQPS: (config.tls_listeners, "--set listeners.ssl.default=PORT", "--set listeners.ssl.default=HOST:PORT"),
        HTTP: (_listener(management.host, management.port), "--management-port", "--set management.tcp.ip=HOST"),
        HTTPS: (_listener(management.tls_host, management.tls_port), *_flags("management.ssl")),
        METRICS: (_listener(prometheus.host, prometheus.port), *_flags("prometheus.tcp")),
        METRICS_TLS: (_listener(prometheus.tls_host, prometheus.tls_port), *_flags("prometheus.ssl")),
    }
    with contextlib.ExitStack() as opened:
        bound: dict[str, list[socket.socket]] = {}
        for protocol, (listeners, port_flag, host_flag) in wanted.items():
            if listeners:
                bound[protocol] = listen(listeners, port_flag, host_flag)
                for sock in bound[protocol]:
                    opened.enter_context(sock)
        opened.pop_all()
    return bound


def tls_contexts(config: Config) -> dict[str, TlsContexts]:
    """By protocol, for those that are listened for. Raises TlsError."""
    management, prometheus = config.management, config.prometheus
    contexts: dict[str, TlsContexts] = {}
    if config.tls_listeners:
        contexts[AMQPS] = TlsContexts(config.tls, "ssl_options")
    if management.tls_port is not None:
        contexts[HTTPS] = TlsContexts(management.tls, "management.ssl")
    if prometheus.tls_port is not None:
        contexts[METRICS_TLS] = TlsContexts(prometheus.tls, "prometheus.ssl")
    return contexts


def _flags(prefix: str) -> tuple[str, str]:
    """Return what chooses another port, and another host, of a listener."""
    return f"--set {prefix}.port=PORT", f"--set {prefix}.ip=HOST"


def _listener(host: str, port: int | None) -> tuple[Listener, ...]:
    return () if port is None else (Listener(host, port),)


def url_of(listening: list[Listening], prefix: str) -> str:
    """Return the URL of the management API for clients on this machine; empty if there is none."""
    for protocol, host, port in listening:
        if protocol in (HTTP, HTTPS):
            anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not listened on
            return f"{protocol}://{shown(anywhere.get(host, host), port)}{prefix}"
    return ""

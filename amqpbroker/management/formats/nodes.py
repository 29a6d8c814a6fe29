"""The node (rabbit_mgmt_external_stats.erl). Numbers of Erlang's virtual machine are present, and 0."""

import os
from dataclasses import asdict
from typing import Any

from amqpbroker import __version__
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.registry import known_exchange_types
from amqpbroker.broker.node import Listening, Node
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.compiled import how_it_runs
from amqpbroker.config.identity import OWN_NAME, python
from amqpbroker.management.formats.exchanges import exchange_types
from amqpbroker.management.formats.rates import rates_of, with_details
from amqpbroker.management.formats.shared import NO_RATE

_MECHANISMS = {
    "AMQPLAIN": "QPid AMQPLAIN mechanism",
    "ANONYMOUS": "SASL ANONYMOUS authentication mechanism",
    "EXTERNAL": "SASL EXTERNAL authentication mechanism",
    "PLAIN": "SASL PLAIN authentication mechanism",
}

#: Numbers that are shown with their rate, and that mean nothing here.
_NOTHING = (
    "context_switches",
    "gc_bytes_reclaimed",
    "gc_num",
    "io_read_bytes",
    "io_read_count",
    "io_reopen_count",
    "io_seek_count",
    "io_sync_count",
    "io_write_bytes",
    "io_write_count",
    "mnesia_disk_tx_count",
    "mnesia_ram_tx_count",
    "queue_index_read_count",
    "queue_index_write_count",
    "sockets_used",
)
_NOTHING_ON_AVERAGE = ("io_read_avg_time", "io_seek_avg_time", "io_sync_avg_time", "io_write_avg_time")

#: Deleted objects that RabbitMQ may still count.
_DELETED = (
    "channel_closed",
    "channel_consumer_deleted",
    "connection_closed",
    "consumer_deleted",
    "exchange_deleted",
    "node_node_deleted",
    "queue_deleted",
    "vhost_deleted",
)

#: Where memory goes, by RabbitMQ's names; of most of these there is nothing here.
MEMORY_PARTS = (
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
)


#: Parts of RabbitMQ that use binaries.
BINARY_PARTS = (
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "metadata_store",
    "plugins",
    "mgmt_db",
    "msg_index",
    "other",
)


def runtime(broker: Broker, node: Node) -> dict[str, Any]:
    """Return the announced Erlang versions, and under this broker's name its own versions and its types of queues."""
    identity, compat = broker.config.identity, broker.config.compat
    return {
        "erlang_version": identity.runtime_version,
        "erlang_full_version": identity.runtime,
        OWN_NAME: {
            **own_versions(),
            "testing": node.has_testing_api,
            **({} if node.database is None else {"database": asdict(node.database)}),
            "extensions": compat.extensions,
            "queue_types": [_queue_type(kind, list(kind.arguments_in(compat))) for kind in KINDS.values()],
        },
    }


def own_versions() -> dict[str, str]:
    """Return the versions of this broker and of Python, and whether the broker is compiled."""
    return {"version": __version__, "python": python(), "runs": how_it_runs()}


def _queue_type(kind: Kind, arguments: list[str]) -> dict[str, Any]:
    """Return the facts about a type of queues that forms need.

    apply_to: of policies for such queues only. retains: messages stay when they are delivered. arguments: the supported
    ones.
    """
    return {
        "name": kind.name,
        "durable_only": kind.durable_only,
        "apply_to": kind.apply_to,
        "retains": kind.retains,
        "arguments": arguments,
    }


def is_web(listening: Listening) -> bool:
    return listening.protocol in ("http", "https")


def contexts(node: Node, path_prefix: str) -> list[dict[str, Any]]:
    """Return the listeners of the management API."""
    return [
        {
            "description": "RabbitMQ Management",
            "path": path_prefix or "/",
            "cowboy_opts": "[]",
            "ip": listening.host,
            "port": str(listening.port),
        }
        for listening in node.listeners
        if is_web(listening)
    ]


def listeners(node: Node) -> list[dict[str, Any]]:
    return [
        {
            "node": node.distinct_name,
            "protocol": listening.protocol,
            "ip_address": listening.host,
            "port": listening.port,
            "socket_opts": _socket_options(listening),
        }
        for listening in node.listeners
    ]


def _socket_options(listening: Listening) -> dict[str, Any]:
    if listening.protocol.startswith("http"):
        return {"cowboy_opts": {"sendfile": False}, "ip": listening.host, "port": listening.port}
    return {"backlog": 4096, "nodelay": True, "linger": [True, 0], "exit_on_close": False}


def bare_node(node: Node) -> dict[str, Any]:
    """Without what is counted."""
    return {"name": node.name, "type": "disc", "running": True, "being_drained": False}


def node_row(broker: Broker, node: Node) -> dict[str, Any]:
    config, alarms = broker.config, broker.alarms.resources
    version = config.compat.version
    used_files, files = node.files()
    free_bytes = node.disk_free_bytes()
    churn, (loaded, stored) = broker.totals.churn, broker.store_counters()
    row: dict[str, Any] = {
        **bare_node(node),
        "applications": [{"name": "rabbit", "description": "RabbitMQ", "version": version}],
        "auth_mechanisms": [
            {"name": name, "description": _MECHANISMS.get(name, name), "enabled": name in config.auth_mechanisms}
            for name in sorted({*_MECHANISMS, *config.auth_mechanisms})
        ],
        "cluster_links": [],
        "config_files": [],
        "contexts": contexts(node, config.management.path_prefix),
        "db_dir": node.data_directory,
        "disk_free": free_bytes or 0,
        "disk_free_alarm": "disk" in alarms,
        "disk_free_details": NO_RATE,
        "disk_free_limit": 0 if free_bytes is None else node.disk_free_limit_bytes,
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "exchange_types": exchange_types(known_exchange_types(config.compat)),
        "fd_total": files,
        "fd_used": used_files,
        "fd_used_details": NO_RATE,
        "log_files": ["<stderr>"],
        "mem_alarm": "memory" in alarms,
        "mem_calculation_strategy": "rss",
        "mem_limit": node.memory_limit_bytes,
        "mem_used": node.memory_bytes(),
        "mem_used_details": NO_RATE,
        "metrics_gc_queue_length": dict.fromkeys(_DELETED, 0),
        "msg_store_read_count": loaded,
        "msg_store_read_count_details": NO_RATE,
        "msg_store_write_count": stored,
        "msg_store_write_count_details": NO_RATE,
        "net_ticktime": 60,
        "os_pid": str(os.getpid()),
        "partitions": [],
        "proc_total": 1048576,
        "proc_used": 1,
        "proc_used_details": NO_RATE,
        "processors": os.cpu_count() or 1,
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
        "rates_mode": config.management.rates_mode,
        "run_queue": 0,
        "sockets_total": 0,
        "uptime": broker.clock.now_ms() - node.started_ms,
        OWN_NAME: own_versions(),
    }
    row.update(
        with_details(dict(zip(churn.counter_names, churn.counters(), strict=True)), rates_of(broker.rates, churn))
    )
    for name in _NOTHING:
        row[name] = 0
        row[f"{name}_details"] = NO_RATE
    for name in _NOTHING_ON_AVERAGE:
        row[name] = 0.0
        row[f"{name}_details"] = NO_RATE
    return row


def memory(total: int, parts: dict[str, int]) -> dict[str, Any]:
    """Return the memory by part. parts: known sizes in bytes; the rest is other_system."""
    known = dict.fromkeys(MEMORY_PARTS, 0) | parts
    known["other_system"] = max(0, total - sum(parts.values()))
    return {**known, "strategy": "rss", "total": {"erlang": total, "rss": total, "allocated": total}}


def binary() -> dict[str, int]:
    """Return the bytes shared by Erlang processes: there are none."""
    return dict.fromkeys(BINARY_PARTS, 0)


def relative_memory(total: int, parts: dict[str, int]) -> dict[str, Any]:
    """Return `memory` in percent, rounded up."""
    shown = memory(total, parts)
    percent = {name: -(-100 * shown[name] // total) if total else 0 for name in MEMORY_PARTS}
    return {**percent, "total": 100}

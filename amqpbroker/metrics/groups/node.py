"""Metrics of the node: churn, use of resources, logins, alarms and identity."""

import base64
import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from amqpbroker.config.identity import rabbitmq
from amqpbroker.metrics.family import COUNTER, GAUGE, UNTYPED, Family, Group, Labels
from amqpbroker.metrics.groups.channels import CHANNELS
from amqpbroker.metrics.groups.queues import QUEUES
from amqpbroker.metrics.snapshot import NodeRow, Snapshot


class LoginRow(NamedTuple):
    """Attempts to log in by one protocol."""

    protocol: str
    succeeded: int
    failed: int


def _node(snapshot: Snapshot) -> Sequence[NodeRow]:
    return [snapshot.node_row()]


def _logins(snapshot: Snapshot) -> Sequence[LoginRow]:
    attempts = snapshot.broker.totals.auth_attempts
    succeeded, failed = attempts.succeeded, attempts.failed
    return [LoginRow(name, succeeded.get(name, 0), failed.get(name, 0)) for name in sorted({*succeeded, *failed})]


def _churn(name: str, text: str, counter: str) -> Family:
    def of(snapshot: Snapshot) -> int:
        count: int = getattr(snapshot.broker.totals.churn, counter)
        return count

    return Family(name, COUNTER, text, of)


def _alarm(name: str, text: str, resource: str) -> Family:
    def of(snapshot: Snapshot) -> int:
        return int(resource in snapshot.broker.alarms.resources)

    return Family(name, UNTYPED, text, of)


def _of_node(name: str, text: str, of: Callable[[NodeRow], float | None]) -> Family:
    return Family(name, GAUGE, text, of)


def _queue_memory_bytes(snapshot: Snapshot, memory_key: str) -> int:
    return sum([row.info.memory for row in snapshot.queues if row.queue.kind.memory_key == memory_key])


def _other_memory_bytes(snapshot: Snapshot) -> int:
    queues = sum([row.info.memory for row in snapshot.queues])
    return max(snapshot.node.memory_bytes() - queues, 0)


def _build(snapshot: Snapshot) -> Labels:
    """Return the build labels. As in RabbitMQ, the product is named only if it is not RabbitMQ."""
    config = snapshot.broker.config
    version, base = config.compat.version, rabbitmq(config.compat)
    product = (
        ("product_name", config.product_name, base.product),
        ("product_version", config.product_version, base.version),
    )
    return (
        *[(label, value) for label, value, default in product if value != default],
        ("rabbitmq_version", version),
        ("prometheus_plugin_version", version),
        ("prometheus_client_version", importlib.metadata.version("prometheus-client")),
        ("erlang_version", config.identity.runtime_version),
    )


def _identity(snapshot: Snapshot) -> Labels:
    broker, node = snapshot.broker, snapshot.node
    return (
        ("rabbitmq_node", node.name),
        ("rabbitmq_cluster", broker.cluster_name),
        ("rabbitmq_cluster_permanent_id", _permanent_id(snapshot)),
    )


def _permanent_id(snapshot: Snapshot) -> str:
    """Return the id of imported definitions, or else an id that is the same after each start."""
    known = snapshot.broker.global_parameters.value("internal_cluster_id", None)
    if isinstance(known, str):
        return known
    node = snapshot.node
    digest = hashlib.sha256(f"{node.name}\n{node.data_directory}".encode(errors="replace")).digest()
    return "rabbitmq-cluster-id-" + base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


# fmt: off
CHURN = Group("connection_churn_metrics", (
    _churn("connections_opened_total", "Total number of connections opened", "connection_created"),
    _churn("connections_closed_total", "Total number of connections closed or terminated", "connection_closed"),
    _churn("channels_opened_total", "Total number of channels opened", "channel_created"),
    _churn("channels_closed_total", "Total number of channels closed", "channel_closed"),
    _churn("queues_declared_total", "Total number of queues declared", "queue_declared"),
    _churn("queues_created_total", "Total number of queues created", "queue_created"),
    _churn("queues_deleted_total", "Total number of queues deleted", "queue_deleted"),
))

COARSE = Group("node_coarse_metrics", (
    _of_node("process_open_fds", "Open file descriptors", lambda row: row.open_files),
    _of_node("process_resident_memory_bytes", "Memory used in bytes", lambda row: row.memory_bytes),
    _of_node("disk_space_available_bytes", "Disk space available in bytes", lambda row: row.disk_free_bytes),
), rows=_node)

METRICS = Group("node_metrics", (
    _of_node("process_max_fds", "Open file descriptors limit", lambda row: row.max_files),
    _of_node("resident_memory_limit_bytes", "Memory high watermark in bytes", lambda row: row.memory_limit_bytes),
    _of_node("disk_space_available_limit_bytes", "Free disk space low watermark in bytes",
             lambda row: row.disk_free_limit_bytes),
    _of_node("erlang_uptime_seconds", "Node uptime", lambda row: row.uptime_s),
), rows=_node)

PERSISTER = Group("node_persister_metrics", (
    Family("msg_store_read_total", COUNTER, "Total number of Message Store read operations",
           lambda snapshot: snapshot.broker.store_counters()[0]),
    Family("msg_store_write_total", COUNTER, "Total number of Message Store write operations",
           lambda snapshot: snapshot.broker.store_counters()[1]),
))

LOGINS = Group("auth_attempt_metrics", (
    Family("auth_attempts_total", COUNTER, "Total number of authentication attempts",
           lambda row: row.succeeded + row.failed),
    Family("auth_attempts_succeeded_total", COUNTER, "Total number of successful authentication attempts",
           lambda row: row.succeeded),
    Family("auth_attempts_failed_total", COUNTER, "Total number of failed authentication attempts",
           lambda row: row.failed),
), rows=_logins, labels=lambda row: (("protocol", row.protocol),), label_names=("protocol",))

OBJECTS = Group("", (
    Family("connections", GAUGE, "Connections currently open", lambda snapshot: len(snapshot.broker.sessions)),
    Family("channels", GAUGE, "Channels currently open", lambda snapshot: len(snapshot.channels)),
    Family("consumers", GAUGE, "Consumers currently connected",
           lambda snapshot: sum([row.info.consumer_count for row in snapshot.channels])),
    Family("queues", GAUGE, "Queues available", lambda snapshot: len(snapshot.queues)),
), CHANNELS | QUEUES)

BUILD = Group("", (
    Family("build_info", UNTYPED, "RabbitMQ & Erlang/OTP version info", lambda _: 1),
), labels=_build,
    label_names=("rabbitmq_version", "prometheus_plugin_version", "prometheus_client_version", "erlang_version"),
    pages=("metrics", "per-object", "memory-breakdown", "detailed"))

IDENTITY = Group("", (
    Family("identity_info", UNTYPED, "RabbitMQ node & cluster identity info", lambda _: 1),
), labels=_identity, label_names=("rabbitmq_node", "rabbitmq_cluster", "rabbitmq_cluster_permanent_id"),
    pages=("metrics", "per-object", "memory-breakdown", "detailed"))

ALARMS = Group("", (
    _alarm("alarms_file_descriptor_limit", "is 1 if file descriptor limit alarm is in effect", "files"),
    _alarm("alarms_free_disk_space_watermark", "is 1 if free disk space watermark alarm is in effect", "disk"),
    _alarm("alarms_memory_used_watermark", "is 1 if VM memory watermark alarm is in effect", "memory"),
    Family("unreachable_cluster_peers_count", GAUGE,
           "Number of peers in the cluster the current node cannot reach.", lambda _: 0),
), pages=("metrics",))

PROCESS = Group("", (
    Family("process_start_time_seconds", GAUGE, "Start time of the process since unix epoch in seconds.",
           lambda snapshot: snapshot.node.started_ms / 1000),
), prefix="", pages=("metrics",))

MEMORY = Group("", (
    Family("memory_classic_queue_erlang_process_bytes", GAUGE, "Classic queue processes footprint in bytes",
           lambda snapshot: _queue_memory_bytes(snapshot, "queue_procs")),
    Family("memory_quorum_queue_erlang_process_bytes", GAUGE, "Quorum queue processes footprint in bytes",
           lambda snapshot: _queue_memory_bytes(snapshot, "quorum_queue_procs")),
    Family("memory_stream_erlang_process_bytes", GAUGE, "Stream processes footprint in bytes",
           lambda snapshot: _queue_memory_bytes(snapshot, "stream_queue_procs")),
    Family("memory_other_system_bytes", GAUGE, "Other runtime footprint in bytes", _other_memory_bytes),
), QUEUES, pages=("memory-breakdown",))
# fmt: on

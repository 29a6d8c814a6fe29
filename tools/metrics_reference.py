"""`python -m tools.metrics_reference` writes docs/reference/metrics.md from the table in amqpbroker.metrics."""

from collections.abc import Iterable
from pathlib import Path

from amqpbroker.metrics.family import Group
from amqpbroker.metrics.groups import GROUPS

PATH = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"

#: Prefixes (or with a *, suffixes) of RabbitMQ's metrics that are not available -> the reason.
LEFT_OUT = {
    "erlang_": "The broker does not use the Erlang runtime.",
    "rabbitmq_erlang_": "The same, except for `rabbitmq_erlang_uptime_seconds`, which is the broker's uptime.",
    "*_process_reductions_total": "A measure of work in the Erlang runtime.",
    "telemetry_": "Metrics of RabbitMQ's metrics library.",
    "rabbitmq_raft_": "A quorum queue is a single queue on one node.",
    "rabbitmq_io_": "File operations are not counted. In RabbitMQ 4.0 these metrics are always 0.",
    "rabbitmq_queue_index_": "There is no queue index. In RabbitMQ 4.0 these metrics are always 0.",
    "rabbitmq_schema_db_": "There is no schema database. In RabbitMQ 4.0 these metrics are always 0.",
    "rabbitmq_auth_attempts_detailed_": "Sources of login attempts are not recorded. RabbitMQ records them on request.",
    "rabbitmq_global_messages_dead_lettered_confirmed_total": "Included in the other counters of dead letters.",
    "rabbitmq_memory_": "Parts of an Erlang node, except for four that add up to the memory of the process.",
}

#: Groups that RabbitMQ counts for pairs of objects, and this broker for single ones -> labels that are missing.
NOT_IN_PAIRS = {
    "channel_exchange_metrics": {"exchange"},
    "channel_queue_metrics": {"queue"},
    "queue_exchange_metrics": {"exchange"},
    "channel_queue_exchange_metrics": {"channel", "exchange", "exchange_vhost"},
}

INTRODUCTION = """\
# Metrics

The broker serves metrics for [Prometheus](https://prometheus.io) on port 15692 (setting `prometheus.tcp.port`). Names,
types, labels and help texts are those of RabbitMQ 4.0.5, so dashboards and alerts for RabbitMQ work unchanged.

| Path | Content |
|---|---|
| `/metrics` | all metrics of the broker, with totals for queues, channels, connections and exchanges |
| `/metrics/per-object` | the same for each queue, channel, connection and exchange |
| `/metrics/detailed` | selected groups and vhosts: `?family=queue_coarse_metrics&family=queue_metrics&vhost=%2F` |
| `/metrics/memory-breakdown` | memory use by component |

`prometheus.path` changes the first part of these paths. `prometheus.return_per_object_metrics` makes /metrics return
the metrics of /metrics/per-object. As in RabbitMQ, no login is required; therefore the address is 127.0.0.1 unless you
set `prometheus.tcp.ip`. Clients whose Accept header prefers OpenMetrics get that format.

```yaml
scrape_configs:
  - job_name: rabbitmq
    static_configs:
      - targets: ["localhost:15692"]
```

Counters of /metrics never decrease while the broker runs, even if queues are deleted and connections are closed. In
RabbitMQ, totals of channels do.
"""

AFTER_TABLES = """
## Differences from RabbitMQ

- The label `channel` is the name of a channel or a connection, such as `127.0.0.1:50000 -> 127.0.0.1:5672 (1)`. In
  RabbitMQ it is the id of an Erlang process.
- Messages are counted for each channel, queue and exchange, but not for pairs of these. The labels of the second object
  are missing:
{pairs}
- For a single exchange, confirmed, returned and dropped messages are not counted. They are counted for all exchanges
  together.
- `erlang_version` in `rabbitmq_build_info` is the version of Python if `product.identity` is `amqpbroker`.
- `rabbitmq_queue_consumer_capacity` exists for all queues, including queues without a consumer.
- `rabbitmq_disk_space_available_bytes` exists only if there is a data directory.
- The group `database_metrics` exists only with [a database](../guide/high-availability.md).
- AMQP 1.0 is not supported, so there are no metrics with the protocol `amqp10`.
- `rabbitmq_stream_consumer_max_offset_lag` counts AMQP 0-9-1 consumers. In RabbitMQ, it counts those of the stream
  protocol only.

## Metrics that are not available

| RabbitMQ's metrics | Reason |
|---|---|
"""


def left_out(name: str) -> bool:
    """Return whether RabbitMQ's metric is known not to be available. name: without `detailed_`."""
    return any(name.endswith(key[1:]) if key[0] == "*" else name.startswith(key) for key in LEFT_OUT)


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, "\n## Metrics of objects\n"]
    parts += [_table(group) for group in GROUPS if group.name]
    parts.append("\n## Metrics of the broker\n\nThese metrics are in no group of /metrics/detailed.\n")
    parts += [_rows("| Name | Type | Labels | Help |", [group for group in GROUPS if not group.name])]
    pairs = [f"  - `{name}` has no {_names(sorted(labels))}" for name, labels in NOT_IN_PAIRS.items()]
    parts.append(AFTER_TABLES.format(pairs="\n".join(pairs)))
    for key, why in LEFT_OUT.items():
        name = key if key.startswith("*") else f"{key}*" if key.endswith("_") else key
        parts.append(f"| `{name}` | {why} |\n")
    return "".join(parts)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(group: Group) -> str:
    labels = _names(group.label_names) or "none"
    other = "rabbitmq_cluster_" if group.cluster else "rabbitmq_detailed_"
    only = "" if group.pages else " The group is available in /metrics/detailed only."
    head = f"\n### `{group.name}`\n\nLabels: {labels}. In /metrics/detailed names begin with `{other}`.{only}\n"
    return head + _rows("| Name | Type | Help |", [group])


def _rows(head: str, groups: list[Group]) -> str:
    columns = head.count("|") - 1
    lines = [f"\n{head}\n{'|---' * columns}|\n"]
    for group in groups:
        prefix = "rabbitmq_cluster_" if group.cluster else group.prefix
        labels = _names(group.label_names)
        for family in group.families:
            kind = "untyped" if family.kind == "unknown" else family.kind
            cells = [f"`{prefix}{family.name}`", kind, *([labels] if columns == 4 else []), family.help]
            lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PATH.write_text(page())

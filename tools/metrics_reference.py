"""`python -m tools.metrics_reference` writes docs/reference/metrics.md from the table in amqpbroker.metrics."""

from collections.abc import Iterable
from pathlib import Path

from amqpbroker.metrics.family import Group
from amqpbroker.metrics.groups import GROUPS

PATH = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"

#: RabbitMQ's metrics that are left out, by how their names begin or, with a *, end; and why.
LEFT_OUT = {
    "erlang_": "There is no Erlang.",
    "rabbitmq_erlang_": "Nor here; but for `rabbitmq_erlang_uptime_seconds`, which is the broker's.",
    "*_process_reductions_total": "Erlang's measure of work.",
    "telemetry_": "What RabbitMQ's library for metrics tells of itself.",
    "rabbitmq_raft_": "A quorum queue is one queue on one node.",
    "rabbitmq_stream_": "There are no streams.",
    "rabbitmq_io_": "Operations on files are not counted. RabbitMQ 4.0 has these, and always 0.",
    "rabbitmq_queue_index_": "There is none. RabbitMQ 4.0 has these, and always 0.",
    "rabbitmq_schema_db_": "There is none. RabbitMQ 4.0 has these, and always 0.",
    "rabbitmq_auth_attempts_detailed_": "Where attempts to log in came from is not kept; RabbitMQ keeps it if told to.",
    "rabbitmq_global_messages_dead_lettered_confirmed_total": "Not counted apart from what was dead-lettered.",
    "rabbitmq_memory_": "Parts of an Erlang node, but for three that add up to what the process takes.",
}

#: What is counted of each alone here, and of each pair in RabbitMQ: by group, the labels that are not there.
NOT_IN_PAIRS = {
    "channel_exchange_metrics": {"exchange"},
    "channel_queue_metrics": {"queue"},
    "queue_exchange_metrics": {"exchange"},
    "channel_queue_exchange_metrics": {"channel", "exchange", "exchange_vhost"},
}

INTRODUCTION = """\
# Metrics

What [Prometheus](https://prometheus.io) reads, on port 15692 (the setting `prometheus.tcp.port`), under the names,
types, labels and help texts of RabbitMQ 4.0.5, so that dashboards and alerts made for that work:

| Path | |
|---|---|
| `/metrics` | all of the broker, with totals of queues, channels, connections and exchanges |
| `/metrics/per-object` | the same of each queue, channel, connection and exchange |
| `/metrics/detailed` | some groups, in some vhosts: `?family=queue_coarse_metrics&family=queue_metrics&vhost=%2F` |
| `/metrics/memory-breakdown` | what takes how much memory |

`prometheus.path` puts all of it somewhere else, and `prometheus.return_per_object_metrics` has /metrics tell what
/metrics/per-object does. Nobody has to log in, as in RabbitMQ; so the address is 127.0.0.1 unless `prometheus.tcp.ip`
says another one. Clients that prefer OpenMetrics by their Accept header get that.

```yaml
scrape_configs:
  - job_name: rabbitmq
    static_configs:
      - targets: ["localhost:15692"]
```

Counters of /metrics never go down while the broker runs, also when queues are deleted and connections close; RabbitMQ's
totals of channels do.
"""

AFTER_TABLES = """
## Where this is not as in RabbitMQ

- The label `channel` is the name of a channel or a connection, such as `127.0.0.1:50000 -> 127.0.0.1:5672 (1)`, where
  RabbitMQ has the id of an Erlang process.
- What each channel did with each queue and each exchange is not counted, only what each of them did. The labels that
  would tell these pairs apart are not there:
{pairs}
- Of an exchange alone it is not counted what was confirmed, returned or dropped; of all together it is.
- `erlang_version` in `rabbitmq_build_info` is that of Python where `product.identity` is `amqpbroker`.
- `rabbitmq_queue_consumer_capacity` is known of all queues, also of those without a consumer.
- `rabbitmq_disk_space_available_bytes` is there if there is a data directory.
- AMQP 1.0 is not spoken, so nothing has the protocol `amqp10`; nor is there anything of the type `rabbit_stream_queue`.

## What is left out

| RabbitMQ's | |
|---|---|
"""


def left_out(name: str) -> bool:
    """Whether RabbitMQ's metric is one of those that are known not to be there. name: without `detailed_`."""
    return any(name.endswith(key[1:]) if key[0] == "*" else name.startswith(key) for key in LEFT_OUT)


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "\n## Of each object\n"]
    parts += [_table(group) for group in GROUPS if group.name]
    parts.append("\n## Of the broker\n\nThese are in no group of /metrics/detailed.\n")
    parts += [_rows("| Name | Type | Labels | |", [group for group in GROUPS if not group.name])]
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
    only = "" if group.pages else " It is in /metrics/detailed only."
    head = f"\n### `{group.name}`\n\nLabels: {labels}. In /metrics/detailed names begin with `{other}`.{only}\n"
    return head + _rows("| Name | Type | |", [group])


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

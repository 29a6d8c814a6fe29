"""Lists of queues, exchanges, bindings, connections, channels and consumers."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, final

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.groups import MONITORING as GROUP
from amqpbroker.cli.ctl.failure import DATA, ApiError, CtlError, UsageError

#: Returns the value of a column for one object of the API.
Column = Callable[[dict[str, Any]], Any]


@final
class List(NamedTuple):
    """A list of objects. path: with {vhost} if the list is that of one vhost. columns: in the order of the help."""

    path: str
    columns: dict[str, Column]
    default: list[str]


def _key(path: str, default: Any = "") -> Column:
    """Return a column with a key of the object; `a.b` is key b of the object a."""

    def column(row: dict[str, Any]) -> Any:
        value: Any = row
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    return column


def _keys(*names: str, **others: str) -> dict[str, Column]:
    return {name: _key(name) for name in names} | {name: _key(path) for name, path in others.items()}


def _client_properties(row: dict[str, Any]) -> Any:
    return row.get("client_properties", {})


_QUEUES = List(
    "queues/{vhost}",
    _keys(
        "name",
        "durable",
        "auto_delete",
        "arguments",
        "policy",
        "operator_policy",
        "effective_policy_definition",
        "redeclared_with",
        "delayed_retry",
        "consumer_timeout_action",
        "consumer_timeout_renew",
        "exclusive",
        "exclusive_consumer_tag",
        "single_active_consumer_tag",
        "head_message_timestamp",
        "messages",
        "messages_ready",
        "messages_unacknowledged",
        "messages_ram",
        "messages_ready_ram",
        "messages_unacknowledged_ram",
        "messages_persistent",
        "messages_paged_out",
        "messages_delayed",
        "next_delayed_at",
        "last_delayed_at",
        "messages_deduplicated",
        "messages_replaced",
        "messages_parked",
        "groups",
        "groups_parked",
        "groups_closed",
        "deliveries_timed_out",
        "message_bytes",
        "message_bytes_ready",
        "message_bytes_unacknowledged",
        "message_bytes_ram",
        "message_bytes_persistent",
        "message_bytes_paged_out",
        "consumers",
        "consumer_utilisation",
        "consumer_capacity",
        "memory",
        "state",
        "type",
        "vhost",
        "storage_version",
        "members",
        "online",
        "readers",
        "segments",
        "stored_bytes",
        "first_offset",
        "last_offset",
        "first_timestamp",
        owner_pid="owner_pid_details.name",
        pid="node",
        disk_reads="message_stats.disk_reads",
        disk_writes="message_stats.disk_writes",
        leader="node",
        committed_offset="last_offset",
        committed_chunk_id="last_chunk",
    ),
    ["name", "messages"],
)
_BATCHES = List(
    "batches/{vhost}",
    _keys(
        "id",
        "vhost",
        "state",
        "user",
        "size",
        "members",
        "ok",
        "failed",
        "open",
        "exchange",
        "routing_key",
        "events",
        "created_at",
        "expires_at",
    ),
    ["id", "state", "size", "ok", "failed", "open"],
)
_JOBS = List(
    "jobs/{vhost}",
    _keys(
        "id",
        "vhost",
        "state",
        "user",
        "exchange",
        "routing_key",
        "queue",
        "attempt",
        "reason",
        "created_at",
        "ended_at",
        "expires_at",
        group="group.key",
        group_queue="group.queue",
        group_state="group.state",
    ),
    ["id", "state", "queue"],
)
_EXCHANGES = List(
    "exchanges/{vhost}",
    _keys(
        "name", "type", "durable", "auto_delete", "internal", "arguments", "policy", "messages_deduplicated", "vhost"
    ),
    ["name", "type"],
)
_BINDINGS = List(
    "bindings/{vhost}",
    {
        "source_name": _key("source"),
        "source_kind": lambda row: "exchange",
        "destination_name": _key("destination"),
        "destination_kind": _key("destination_type"),
        "routing_key": _key("routing_key"),
        "arguments": _key("arguments"),
        "vhost": _key("vhost"),
    },
    ["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"],
)
_CONNECTIONS = List(
    "connections",
    _keys(
        "name",
        "port",
        "host",
        "peer_port",
        "peer_host",
        "ssl",
        "ssl_protocol",
        "ssl_key_exchange",
        "ssl_cipher",
        "ssl_hash",
        "peer_cert_subject",
        "peer_cert_issuer",
        "peer_cert_validity",
        "state",
        "channels",
        "protocol",
        "auth_mechanism",
        "user",
        "vhost",
        "timeout",
        "frame_max",
        "channel_max",
        "connected_at",
        "recv_oct",
        "recv_cnt",
        "send_oct",
        "send_cnt",
        "send_pend",
        "user_provided_name",
        "node",
        pid="name",
    )
    | {"client_properties": _client_properties},
    ["user", "peer_host", "peer_port", "state"],
)
_CHANNELS = List(
    "channels",
    _keys(
        "name",
        "number",
        "user",
        "vhost",
        "transactional",
        "confirm",
        "consumer_count",
        "messages_unacknowledged",
        "messages_uncommitted",
        "acks_uncommitted",
        "messages_unconfirmed",
        "prefetch_count",
        "global_prefetch_count",
        "state",
        "node",
        pid="name",
        connection="connection_details.name",
    ),
    ["pid", "user", "consumer_count", "messages_unacknowledged"],
)
_CONSUMERS = List(
    "consumers/{vhost}",
    _keys(
        "consumer_tag",
        "ack_required",
        "prefetch_count",
        "active",
        "activity_status",
        "arguments",
        "exclusive",
        "consumer_timeout",
        "consumer_timeout_action",
        queue_name="queue.name",
        channel_pid="channel_details.name",
    ),
    ["queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"],
)


def _list(of: List, call: Call) -> Rows:
    columns = [column for word in call.words for column in word.split(",") if column] or of.default
    unknown = [column for column in columns if column not in of.columns]
    if unknown:
        raise UsageError(
            f"Info key(s) {','.join(unknown)} are not supported; choose from {', '.join(sorted(of.columns))}"
        )
    try:
        if "local" in call.options and not call.api.leads(call.vhost):
            return Rows(columns, [])
        found = call.api.get(of.path.format(vhost=quoted(call.vhost)))
    except ApiError as error:
        if error.http_status == 404:
            raise CtlError(f"Virtual host '{call.vhost}' does not exist", DATA) from error
        raise
    return Rows(columns, [[of.columns[column](row) for column in columns] for row in found])


def _command(name: str, of: List, about: str, banner: Callable[[Call], str], **options: bool) -> Command:
    return Command(
        name, GROUP, about, "[<column> ...]", partial(_list, of), banner, options, tuple(of.columns), tuple(of.default)
    )


COMMANDS = (
    _command(
        "list_queues",
        _QUEUES,
        "Lists the queues of a vhost; with --local, none if another broker leads it.",
        lambda call: f"Timeout: {call.timeout_s} seconds ...\nListing queues for vhost {call.vhost} ...",
        online=False,
        offline=False,
        local=False,
    ),
    _command(
        "list_batches",
        _BATCHES,
        "Lists the batches of a vhost, whose members are counted.",
        lambda call: f"Listing batches for vhost {call.vhost} ...",
    ),
    _command(
        "list_jobs",
        _JOBS,
        "Lists the jobs of a vhost that you may look up.",
        lambda call: f"Listing jobs for vhost {call.vhost} ...",
    ),
    _command(
        "list_exchanges",
        _EXCHANGES,
        "Lists the exchanges of a vhost.",
        lambda call: f"Listing exchanges for vhost {call.vhost} ...",
    ),
    _command(
        "list_bindings",
        _BINDINGS,
        "Lists the bindings of a vhost.",
        lambda call: f"Listing bindings for vhost {call.vhost}...",
    ),
    _command("list_connections", _CONNECTIONS, "Lists the connections.", lambda call: "Listing connections ..."),
    _command("list_channels", _CHANNELS, "Lists the channels.", lambda call: "Listing channels ..."),
    _command(
        "list_consumers",
        _CONSUMERS,
        "Lists the consumers of a vhost.",
        lambda call: f"Listing consumers in vhost {call.vhost} ...",
    ),
)

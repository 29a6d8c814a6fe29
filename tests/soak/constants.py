"""The numeric constants, caches and limited lengths of the broker's code, and those of them that limit nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

from amqpbroker.config.bounds import Bounds
from tests.sources import parsed

SOURCE = Path(__file__).parents[2] / "amqpbroker"

#: Parts of the code that a serving broker does not use, and settings, whose values users choose.
ELSEWHERE = ("cli/", "testing/", "compat.py", "config/")

#: Reason -> constants that limit nothing that grows.
NOT_LIMITS = {
    "of AMQP, which the broker only names": """
        amqp.publishing.IMMEDIATE amqp.publishing.MANDATORY amqp.channels.CHANNEL_OPEN amqp.confirms._ACK
        amqp.confirms._NACK amqp.confirms._MULTIPLE amqp.confirms._REQUEUE amqp.frame_loop._PUBLISH
        amqp.frame_loop._SHORTEST_PUBLISH amqp.frame_loop._ACK amqp.frame_loop.ACK_BYTES amqp.client.TOLERANCE
        amqp.dispatch._PUBLISH amqp.handshake._OPEN amqp.delivery.UNLIMITED amqp.decoding.UPDATE_SECRET
        amqp.channels.CHANNEL_CLOSE amqp.channels.CHANNEL_CLOSE_OK broker.broker.CONTENT_HEAD
        message.deaths._COUNT_BYTES message.deaths._ORIGINAL_EXPIRATION_TYPE message.deaths._QUEUE_BYTES
        message.deaths._QUEUE_TYPE message.deaths._REASON_BYTES message.deaths._REASON_TYPE
        message.deaths._EXPIRATION_BYTES message.deaths._TABLE_BYTES
        broker.exchanges.topic_index._DOT message.message._HEADERS
        broker.system_exchanges.event_exchange._PERSISTENT broker.system_exchanges.firehose._KEY_BYTES
        message.message.KEY_BYTES broker.publishing.choices.MAX_NAME_BYTES
        broker.policies.auto_dead_letters.MAX_NAME_BYTES
        broker.publishing.inspection.KNOWN_SIZE management.values.MAX_NAME_BYTES
        errors.INTERNAL_ERROR errors.MAX_MESSAGE_SIZE client.protocol._ACK client.protocol._DELIVER
        shovel.topology._NOT_FOUND client.login.FRAME_MAX wire.frames.BASIC_CLASS wire.frames.BODY
        wire.frames.END wire.frames.HEADER wire.frames.HEARTBEAT wire.frames.METHOD wire.frames.OVERHEAD
        wire.frames.PROPERTIES_AT wire.raw_headers._U32 server.reading.SETTLING_BYTES
        server.reading._HEARTBEAT_BYTES wire.property_flags.CONTENT_TYPE wire.property_flags.CONTENT_ENCODING
        wire.property_flags.HEADERS wire.property_flags.DELIVERY_MODE wire.property_flags.PRIORITY
        wire.property_flags.CORRELATION_ID wire.property_flags.REPLY_TO wire.property_flags.EXPIRATION
        wire.property_flags.MESSAGE_ID wire.property_flags.TIMESTAMP wire.property_flags.TYPE
        wire.property_flags.USER_ID wire.property_flags.APP_ID wire.property_flags.CLUSTER_ID
        wire.property_flags.UNDEFINED wire.property_walk._DIGITS wire.property_walk.PSEUDO_QUEUE_BYTES
        broker.publishing.inspection._CC_BYTES broker.publishing.inspection._BCC_BYTES wire.property_edit._FEW
        wire.property_edit._ORDERS wire.property_walk._NOT_PLAIN wire.property_walk._SORTED
        wire.property_walk._UNSORTED wire.property_walk._UNREADABLE wire.property_walk._MARK
        management.routes.jobs._ID_BYTES management.routes.jobs._PERSISTENT broker.jobs.jobs._TOKEN_BYTES
        wire.property_walk._JOB_MARK
        broker.batches.event_message._PERSISTENT broker.batches.event_message._ID_BYTES
        broker.batches.request._ID_BYTES broker.batches.request._NAME_BYTES broker.batches.request._MAX_SIZE
    """,
    "of the store's format": """
        store.record.JOBS_ID broker.jobs.job._PIECE_BYTES broker.jobs.job._DEATHS_BYTES
        broker.batches.batch._HAS_KEY broker.batches.batch._HAS_EXCHANGE broker.batches.batch._IS_REPLY
        broker.batches.batch._HAS_EVENTS broker.batches.batch._HAS_TTL broker.batches.member.OPEN
        broker.batches.member.FAILED broker.batches.member.OK broker.batches.member._OUTCOME
        broker.batches.member._FAILED_AT broker.batches.member._STORED_AT broker.batches.member._LOST_AT
        broker.batches.member._COUNT broker.batches.member.NAME_BYTES broker.batches.request._KEY_BYTES
        store.record.BATCHES_ID store.keys.JOB_NAMES store.record.MARKS store.record.MARK_GROUP_BYTES
        store.store.DOUBTED broker.queues.entry.DOUBTFUL broker.exchanges.held._TIMED
        message.message.NOT_STORED message.message.PENDING broker.queues.lines.spilled._REDELIVERED store.stored.DECODED
        store.stored._EXPIRATION store.record.PROPERTY_FLAGS_AT store.record._HAS_PRIORITY
        broker.exchanges.held._BITS broker.exchanges.held._MASK store.record.ID_BYTES store.record.ID_INDEX
        store.directory.inspection._GRAIN_BITS store.directory.inspection._IN_GRAIN
        store.directory.lock.LOCKED_AT store.directory.names._EXCHANGE_IDS_SINCE
        store.directory.names._LOG_HEAD_BYTES store.directory.ownership.VERSION store.record.DELIVERED
        store.record.OFFSET_BITS store.record.OFFSET_MASK
        store.directory.stream_inspection._HEAD_BYTES store.streams.chunk._HEAD store.streams.format.MARK_BYTES
        store.streams.format.SEGMENT_BYTES store.streams.format.CHUNK_BYTES store.streams.format.INDEX_BYTES
        store.recovered._GRAIN_BITS store.record.ADDRESS_AT store.record.CC_KEYS_AT
        store.record.COUNT_AT store.record.DEADLINE_AT store.record.DEATHS
        store.record.ENTRY_BYTES store.record.EXTRA_KEYS_AT store.record.FLAGS_AT
        store.record.FRAMES_AT store.record.GROUP_BYTES store.record.INDEX_AT
        store.record.MARK_BYTES store.record.PIECES store.record.PRIORITY_AT
        store.record.PUBLISH_BYTES store.record.SIZE_AT store.record.TRANSIENT
        broker.queues.groups.group.OPEN broker.queues.groups.group.PARKED broker.queues.groups.group.CLOSED
        broker.queues.groups.ledger._FIRST
        broker.queues.groups.versions.VERSION broker.queues.groups.versions._VERSION_BYTES
        broker.queues.groups.dead_letter_index.LETTERS broker.queues.groups.dead_letter_index.LETTER_QUEUE
        broker.queues.groups.dead_letter_index.LETTER_NUMBER broker.queues.groups.dead_letter_index._NUMBER_BYTES
        broker.queues.groups.dead_letter_index._RESERVED broker.queues.dead_letters.letter_numbers._PER_MS
    """,
    "an id of 32 bits, which takes years of declarations to use up": "store.record.MAX_ID",
    "of Erlang and of algorithms": """
        broker.queues.groups.groups._SEQUENCE_BITS broker.queues.groups.groups._SEQUENCE_BYTES
        message.deaths._MANY broker.queues.direct_reply._HASHES broker.queues.direct_reply._KEY_BYTES
        broker.users.passwords._SALT_SIZE wire.erlang_hash.PHASH2_RANGE wire.erlang_hash._BINARY
        wire.erlang_hash._EMPTY_LIST wire.erlang_hash._END_OF_LIST wire.erlang_hash._GOLDEN
        wire.erlang_hash._MASK wire.erlang_hash._NIL
        cluster.placement.order._DIGEST_BYTES cluster.placement.order._MASK
        broker.policies.ages._DIGITS
    """,
    "a time or an interval": """
        broker.jobs.request.DEFAULT_TTL_MS management.routes.jobs.MOST_WAIT_S management.routes.jobs.ASK_AGAIN_S
        management.routes.jobs.SEND_AGAIN_S
        broker.batches.due_batches.RETRY_MS broker.batches.request.DEFAULT_TTL_MS
        broker.queues.groups.options.DEFAULT_VERSION_TTL_MS
        broker.deduplication.options.DEFAULT_TTL_MS broker.deduplication.window.SWEEP_MS
        broker.slices.SLICE_MS broker.slices.SLICES broker.slices.SHORT_SLICE_MS
        amqp.state.CLOSING_TIMEOUT amqp.state.CLOSING_TIMEOUT_MS amqp.state.SILENT_CLOSE_DELAY_MS amqp.state.NEVER
        amqp.state.HANDSHAKE_TIMEOUT client.uri._CONNECTION_TIMEOUT_MS client.uri._HEARTBEAT_S
        broker.exchanges.held._BUSY_MS broker.exchanges.held._REREAD_MS broker.exchanges.held._SWEEP_AGAIN_MS
        broker.exchanges.held._TELL_MS broker.users.login_guard.FORGET_MS broker.users.login_guard.MAX_PAUSE_MS
        broker.users.login_guard.PAUSE_MS patterns._SEARCH_S store.persistence.COMPACTION_RETRY_MS
        broker.counters.rates.HISTORY_MS broker.counters.rates.INTERVAL_MS broker.counters.rates.PAUSE_MS
        broker.counters.histories.HELD_MS broker.vhost.WARNING_MS
        broker.redrive.redrive.BUSY_MS broker.redrive.redrive.UNREADABLE_MS broker.redrive.redrive.BEHIND_MS
        broker.queues.groups.following.FOLLOW_AGAIN_MS broker.queues.groups.following.FOLLOW_AGAIN_MAX_MS
        broker.queues.groups.task.BUSY_MS broker.queues.lines.read_retry.RETRY_MS
        broker.queues.lines.page_out.REST_MS broker.queues.lines.page_out.ROUND_MS
        broker.queues.streams.tracking.STORE_MS
        broker.shovels.definition._RECONNECT_DELAY_S broker.binding_cleanup.RETRY_MS store.writer.DEFINITIONS_MS
        store.writer.RETRY_MS management.bodies.BODY_S management.bodies.PROMPT_S management.listing.FILTER_SLICE_S
        management.peeking.REQUEST_MS cluster.requests.sharing.SERVED_S cluster.requests.sharing.LOOK_S
        cluster.requests.sharing.ANSWER_S cluster.requests.sharing.PART_S cluster.requests.sharing.KNOWN_S
        cluster.requests.shared_import.PAUSE_S
        cluster.peers.http_peers.PART_S server.resting.GIVE_WAY_S
        management.routes.health._DAY_MS server.answers.HURRIED_WRITE_S
        server.answers.WRITE_S server.http.KEEP_ALIVE_S server.http.STOP_S server.http_protocol.REQUEST_S
        server.http_protocol.REST_S server.handshake_listener._PAUSE_MS server.proxy_protocol.HEADER_S
        clock.STEP_LOOK_MS clock._READ_WITHIN_NS clock._STEP_NS server.app.LOOK_S server.app.STOP_MS
        server.reading.EXPECTED_MS server.reading.PROMPT_MS
        server.control_file.RETRY_MS server.resources.DISK_ALARMED_INTERVAL_MS server.resources.DISK_INTERVAL_MAX_MS
        server.resources.DISK_INTERVAL_MIN_MS server.resources.TRIM_ALARMED_INTERVAL_MS
        server.resources.TRIM_INTERVAL_MS server.resources.TRIM_LONGEST_INTERVAL_MS
        server.resources.MEMORY_INTERVAL_MAX_MS server.resources.MEMORY_INTERVAL_MIN_MS
        server.ending.LINGER_MS server.ending.CHECK_MS client.link.CLOSE_S shovel.work.DRAIN_S shovel.work.RETRY_MS
        cluster.peers.peer_port.GREETING_S cluster.peers.peer_port.CONNECT_S cluster.peers.peer_port.PAUSE_S
        cluster.relaying.relay.LINGER_S cluster.relaying.relaying.LEADER_S cluster.relaying.relaying.LOOK_S
        cluster.relaying.relaying.OTHERS_S
        server.http.MAKE_S cluster.ended_leaders.CONNECT_S cluster.ended_leaders.AGAIN_S
        store.database.fence._BYTES_PER_S cluster.leadership.leadership.GRACE_S
        cluster.vhost_serving._BUSY_S cluster.vhost_serving._KNOWN_S cluster.vhost_serving._WRITTEN_S
        cluster.vhost_serving._DELETED_S
        cluster.vhost_serving._LOOK_S cluster.vhost_serving._FOLLOWED_S cluster.vhost_serving._ATTEMPTS
        cluster.vhost_serving._AGAIN_S cluster.following.vhost_followers.SHORTEST_S
        cluster.following.vhost_followers.LONGEST_S cluster.following.vhost_followers.AGAIN_S
        cluster.following.vhost_followers.RETRY_S cluster.shared_database.STEP_S cluster.shared_database.LOOK_S
        cluster.shared_database.AWAITED_STEP_S cluster.shared_database.READY_S
        cluster.placement.sharing.SETTLING_STEPS cluster.placement.sharing._PREPARING_STEPS
        cluster.finished_shovels.RETRY_S cluster.finished_shovels.ANSWER_S
        cluster.partition_monitor.REQUEST_S cluster.partition_monitor.LONGEST_S cluster.partition_monitor.ANSWER_S
        cluster.leadership.members.REMOVED_S
        cluster.leadership.reporting.REPORTS cluster.leadership.reporting.RETRY_S
        store.database.session._POLL_S cluster.leadership.sessions.DEADLINE_S
        cluster.leadership.sessions.READING_DEADLINE_S cluster.leadership.sessions.READING_REST_S
    """,
    "an estimate or a weight, which is added to what is counted": """
        broker.queues.streams.queue._STREAM_BYTES
        amqp.answers.HOLDING amqp.routes.ADMITTED store.batches._ROOM amqp.confirms._REFUSED_BYTES
        amqp.output.KEEPING broker.exchanges.held._MESSAGE_BYTES store.pending_writes._COPY_BYTES
        store.pending_writes._RETURNED_BYTES store.pending_writes._DELAYED_BYTES store.pending_writes._ID_BYTES
        message.message.MESSAGE_BYTES
        broker.queues.queue_info._QUEUE_BYTES broker.queues.arguments.retry_delay.GROWTH
        broker.counters.rates._WEIGHT broker.queues.lines.quorum_lines.QuorumLine.WEIGHT
        broker.queues.lines.quorum_lines.StrictLevels.DEFAULT_PRIORITY server.resources.DISK_BYTES_PER_MS
        server.resources.MEMORY_BYTES_PER_MS shovel.transfer.KEEPING store.compaction._SKIP_BYTES
        management.listing.SORTED_PER_ROW management.routes.overview.COUNTED_PER_ROW metrics.page.SAMPLES_PER_ROW
        metrics.snapshot.ADDED_PER_ROW
    """,
    "the largest value of a setting or argument, beyond which it is refused": """
        broker.exchanges.delay.MAX_DELAY_MS broker.publishing.publish_checks.MAX_EXPIRY_MS
        message.delivery_time._MAX_MS management.routes.redrives._MAX
        broker.queues.arguments.arguments.MAX_SEGMENT_SIZE_BYTES broker.shovels.definition._MAX_NUMBER
        management.peeking.MAX_COUNT management.peeking.MOST_OFFSET broker.queues.groups.options.MAX_PREFETCH
        broker.super_streams.MAX_PARTITIONS broker.super_streams.MAX_NAME_BYTES
    """,
    "of PostgreSQL, and numbers that the broker chose for it": """
        store.database.database_files._NAME_BYTES store.database.schema.VERSION store.database.schema._MAKING
        store.database.schema.INCOMPLETE cluster.copying._FIRST_EPOCH
    """,
    "a part of what is read or written whole": """
        cluster.placement.sharing._AT_ONCE store.streams.chunk._LARGE_BYTES
        store.database.database_files.DatabaseFiles.at_once store.database.database_files._ROW_BYTES
        cluster.following.follower.STEP_BYTES cluster.following.vhost_followers.STEP_BYTES
        store.database.vhost_logs._FILES_AT_ONCE store.persistence.OVERLAP_BYTES
    """,
    "of the port for other brokers, which a test drives past its bound (server/test_peer_port.py)": """
        cluster.peers.peer_port.MOST_GREETINGS cluster.peers.peer_port.MOST_GREETING_BYTES
        cluster.peers.peer_port.BACKLOG cluster.peers.peer_port.NONCE_BYTES cluster.peers.peer_port.PROOF_BYTES
    """,
    "of a PROXY header, which a test drives past its bound (wire/test_proxy_header.py)": """
        wire.proxy_header.MOST_BYTES wire.proxy_header._MOST_LINE_BYTES wire.proxy_header._HEAD_BYTES
        wire.proxy_header._LOCAL wire.proxy_header._PROXIED wire.proxy_header._CHECKSUM wire.proxy_header._TLS
        wire.proxy_header._TLS_VERSION wire.proxy_header._TLS_CIPHER wire.proxy_header._POLYNOMIAL
    """,
    "of relayed connections, which a test drives past its bound (server/test_relaying.py)": """
        cluster.relaying.leader_link._HEAD_BYTES cluster.relaying.leader_link._MOST_FRAME_BYTES
        cluster.relaying.relaying._TURNS
        cluster.relaying.relaying._FILES_EACH cluster.relaying.relaying._PAUSE_S cluster.relaying.relaying.PART_BYTES
    """,
    "of the answers of other brokers, which a test drives past its bound (management/test_sharing.py)": """
        cluster.requests.part_memory.MOST_PART_BYTES cluster.requests.part_memory.MOST_HELD_BYTES
        cluster.requests.sharing.MOST_NAMES
        cluster.peers.http_peers.READ_BYTES
    """,
    "of `amqpbroker store copy`, which ends": """
        store.copying.journals._WAITING_BYTES store.copying.merging._AT_ONCE store.copying.reading._STEP_BYTES
        store.copying.streams._PART_BYTES cluster.leadership.taking._DEADLINE_S cluster.leadership.taking._LEASE_S
        cluster.leadership.taking._LOOK_S cluster.leadership.taking._RENEWED_S cluster.leadership.taking._WAIT_S
    """,
    "a default value of a request": "management.routes.super_streams._PARTITIONS",
    "the default of an argument, which the phases of streams set": "store.streams.stream_log.SEGMENT_SIZE",
    "the threads or sessions of a pool": """
        cluster.vhost_serving._WORKERS cluster.database_cluster._WORKERS cluster.leadership.sessions.WRITERS
        store.database.fence.ROWS_AT_ONCE store.files.Files.concurrency
    """,
    "how much of a value is shown": """
        amqp.decoding._SHOWN broker.queues.arguments.difference.SHOWN_BYTES management.failure._ERLANG_LINE
        management.failure._SHOWN store.directory.dump.BODY_BYTES
    """,
    "one entry for each kind of counted object": "broker.counters.rates._zeros() broker.counters.stats._groups_among()",
}

#: Comparisons with a length, and arguments that limit one, that are not bounds -> reason.
NOT_BOUNDS_IN_CODE = {
    "amqp.frame_loop: len(rest) < 7": "the size of a frame's head",
    "amqp.sasl: len(parts) != 3": "the parts of a response",
    "broker.shovels.definition: len(given.encode('utf-8', 'surrogateescape')) > 255": "the length of a name",
    "errors: len(encoded) > 255": "the length of a reply text",
    "client.protocol: len(payload) < 14": "the size of a content header",
    "store.committer: max_workers=1": "one thread",
    "store.database.database_files: maxlen=ROWS_AT_ONCE": "the rows that may have been committed in another order",
    "wire.certificate: len(digits) != 14": "the length of a date",
    "wire.methods: len(raw) > 255": "the length of a name",
}


def collected() -> Iterator[str]:
    """Yield the numeric constants, caches and limited lengths of the code, with their modules."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        module = name.removesuffix(".py").replace("/", ".")
        if name == "config/bounds.py":
            yield from [f"{module}.{name}" for name in Bounds._fields]
        elif not name.startswith(ELSEWHERE):
            tree = parsed(path)
            yield from constants_in(tree, module)
            yield from lengths_in(tree, module)


def constants_in(tree: ast.AST, owner: str) -> Iterator[str]:
    """Yield constants of a module and of its classes. In classes, fields with an annotation have other owners."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from constants_in(node, f"{owner}.{node.name}")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _is_number(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and (target.id.isupper() or isinstance(node, ast.Assign)):
                    yield f"{owner}.{target.id}"


def _is_number(value: ast.AST) -> bool:
    """Return whether an expression has numbers, and only names beside these."""
    parts = list(ast.walk(value))
    numbers = [part for part in parts if isinstance(part, ast.Constant)]
    operators = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
    names = (ast.Name, ast.Attribute, ast.expr_context)
    return (
        bool(numbers)
        and all(isinstance(part, (ast.Constant, *operators, *names)) for part in parts)
        and all(type(number.value) in (int, float) for number in numbers)
    )


def lengths_in(tree: ast.AST, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(_is_cache(each) for each in node.decorator_list):
            yield f"{module}.{node.name}()"
        elif isinstance(node, ast.keyword) and node.arg in ("maxlen", "maxsize", "max_workers"):
            yield f"{module}: {node.arg}={ast.unparse(node.value)}"
        elif isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(_is_length(side) for side in sides) and any(_is_large(side) for side in sides):
                yield f"{module}: {ast.unparse(node)}"


def _is_cache(decorator: ast.AST) -> bool:
    return ast.unparse(decorator).split("(")[0] in ("cache", "lru_cache")


def _is_length(side: ast.AST) -> bool:
    return isinstance(side, ast.Call) and ast.unparse(side.func) == "len"


def _is_large(side: ast.AST) -> bool:
    return isinstance(side, ast.Constant) and isinstance(side.value, int) and side.value > 2

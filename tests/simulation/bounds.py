"""Random limits of the broker: effects of 70,000 objects occur with 70 here."""

import random

#: Bound -> the values that may replace its default.
LOWERED = {
    "unwritten_bytes": (2_000, 50_000),
    "room_bytes": (500, 20_000),
    "unread_bytes": (1_000, 50_000),
    "routes": (1, 4),
    "few_routes": (1, 2),
    "all_routes": (1, 8),
    "returns": (1, 5, 40),
    "releases": (1, 3),
    "expiries": (1, 3),
    "unswept_bytes": (100, 5_000),
    "segment_bytes": (500, 5_000, 100_000),
    "batch_bytes": (200, 3_000),
    "group_bytes": (200, 3_000),
    "entries": (1, 3),
    "positions": (1, 3, 20),
    "page_count": (1, 4, 30),
    "page_bytes": (1, 3_000),
    "least_page_count": (1, 5),
    "least_page_bytes": (1, 1_000),
    "read_count": (1, 3),
    "spill_bytes": (500, 5_000),
    "chunk_bytes": (50, 500, 5_000),
    "index_bytes": (50, 1_000),
    "stream_cache_bytes": (1, 5_000, 50_000),
    "stream_skips": (1, 3, 20),
    "stream_read_bytes": (1, 1_000),
    "stream_offsets": (1, 3),
    "deferred_free": (1, 7),
    "departures": (1, 3, 20),
    "log_bytes": (5_000, 50_000),
    "full_log_bytes": (20_000, 100_000),
    "guesses": (1, 2),
    "http_connections": (2, 5, 20),
    "pages": (1, 2),
    "body_bytes": (1_000, 50_000),
    "bodies_bytes": (66_000, 100_000),
    "answers_bytes": (100, 1_000, 20_000),
    "rows": (1, 3, 20),
    "got_bytes": (500, 5_000, 100_000),
    "histories": (1, 5),
    "sessions": (1, 3),
    "user_sessions": (1, 2),
    "batch_failures": (1, 3),
    "batch_events": (1, 3),
    "batch_removals": (1, 3),
    "jobs": (1, 3, 20),
    "job_reply_bytes": (100, 1_000),
    "job_replies_bytes": (500, 5_000, 100_000),
    "confirms_ahead": (1, 3),
    "many_bindings": (1, 5),
    "binding_removals": (1, 3),
    "permissions": (1, 3),
    "round_count": (1, 2, 20),
    "round_bytes": (1, 1000),
    "follows": (1, 3),
    "returned_follows": (1, 3),
    "superseded": (1, 3),
    "expired_ids": (1, 3),
    # More than 4096, which a step counts for a batch that it skips.
    "compaction_bytes": (5_000, 20_000),
    "retry_log_bytes": (1000, 20000),
    "segment_chunks": (1, 4),
    "failed_reads": (1, 3),
    "samples": (1, 3),
    "leaving_bytes": (1, 1000),
    "slice_count": (1, 3),
    "slice_bytes": (1, 1000),
    "slice_visits": (1, 20),
    "shovel_bytes": (1, 3_000, 50_000),
}

#: Bounds that no simulated world lowers, and why.
NOT_LOWERED = {
    "waiting": "the managers of the simulator have one user, and their requests must succeed",
    "user_waiting": "as waiting",
    "handshakes": "no client uses TLS",
    "accepts": "no client uses TLS",
    "deduplication_ids": "a window that forgets an id early accepts a duplicate, which no client may see",
    "batches": "the events of a forgotten batch come again if a member is repeated",
    "batch_members": "the batch of a refused member is never complete",
}

#: Reason -> limits of the code that are not fields of `Bounds`.
CONSTANTS = {
    "of AMQP, or a value of RabbitMQ: clients would see another one": """
        amqp.body_stream.STREAMED broker.queues.kinds.DEFAULT_DELIVERY_LIMIT broker.queues.length_limit.REOPENED_AT
        broker.queues.lines.quorum_lines.StrictLevels.MAX_PRIORITY broker.shovels.definition._PREFETCH
        management.bodies.MAX_LOGIN_BYTES management.formats.rates.MAX_STEPS management.listing.DEFAULT_PAGE_SIZE
        management.listing.MAX_PAGE_SIZE management.nesting.MAX_BODY_LEVELS management.nesting.MAX_DEFINITIONS_LEVELS
        wire.values.MAX_DEPTH patterns._DEEPEST patterns._LONGEST patterns._GIVEN_UP_AFTER
        broker.users.login_guard.FREE_GUESSES
    """,
    "of this broker's interface: clients would see another value": """
        broker.jobs.job.MOST_PLACES broker.jobs.job._MOST_FIRST
        broker.queues.arguments.redeclaration.KEPT broker.redrive.redrives.KEPT broker.counters.rates.HISTORY_LENGTH
        management.peeking.ANSWER_BYTES management.streamed.WHOLE_BYTES message.checksum._BODY_BYTES
    """,
    "of a connection to PostgreSQL, of which a world has none": "store.database.repeated.MOST",
    "of the store's format": """
        broker.deduplication.message_key.MOST_BYTES broker.queues.groups.key.MOST_BYTES store.record.MAX_COUNT
        store.record._MOST
    """,
    "of the operating system, or a share of its memory": """
        server.allocator.KEPT_BYTES server.allocator.MAPPED_BYTES server.allocator._M_MMAP_THRESHOLD
        server.allocator._M_TRIM_THRESHOLD server.app.BACKLOG server.app.RESERVED_FILES server.app.UNKNOWN_MEMORY_BYTES
        server.http.BACKLOG server.machine.OPEN_MAX server.machine.SELECTABLE_SOCKETS server.resources.SHORT
        server.resources.SMALL_BYTES server.resources.WORTH_BYTES store.files.Files.at_once
        store.files.Files.parts_at_once
    """,
    "a size of socket reads and writes, which the simulated network divides at random itself": """
        client.link.READ_BYTES client.link.WRITE_HIGH_BYTES server.http_protocol.READ_BYTES
        server.reading.LARGEST_READ_BYTES server.reading.LARGE_READ_BYTES
        server.reading.LEAST_READ_BYTES server.reading.MOST_READ_BYTES server.reading.READ_BYTES
        server.reading.READ_MESSAGES server.reading.REQUEST_BYTES server.reading.SHORT_TURN_BYTES
        server.reading.TURN_BYTES server.transport.WRITE_HIGH_BYTES server.transport.WRITE_LOW_BYTES
    """,
    "of parts that no world has: TLS and long queues of jobs": """
        broker.jobs.job_status.MOST_AHEAD broker.jobs.job_status._STEP server.certificate_depth.REMEMBERED
    """,
    "of `amqpbroker store`, which does not serve": "store.directory.stream_inspection._WINDOW_BYTES",
    "a size from which bytes are handled in another way; worlds have bodies of 0 to 200,000 bytes": """
        amqp.output.LARGE amqp.output.SMALL amqp.output._KEPT management.bodies.SMALL_BYTES message.pieces.LARGE
        server.http_protocol.PIECE_BYTES store.groups._LARGE store.reading._ALONE_BYTES store.reading._BEYOND_BYTES
        store.reading._LARGE_BYTES store.streams.segment.READ_BYTES
    """,
    "small already, 2 to 64: worlds go past it": """
        amqp.browsing._STEP amqp.locks._SPARE amqp.routes.COLD broker.tracking.expiries.SLACK
        broker.queues.expiry.BEHIND broker.queues.groups.group._REMOVED broker.queues.groups.redrive._STEP
        broker.queues.groups.stale_versions.MORE broker.queues.last_value.values._MOVED
        broker.queues.lines.page_out.STEP_PAGES broker.queues.lines.ready_line.SLACK
        broker.redrive.redrive._STEP server.clients._TURNS
        store.compaction.SPARE_SEGMENTS
    """,
    "paid only inside one call: no other code runs between two steps": """
        management.peeking._STEP store.reading._WINDOW_BYTES
    """,
    "shared by all brokers of a process": "broker.publishing.inspection._KNOWN_COUNT",
}


def lowered(chance: random.Random) -> dict[str, int]:
    """Return bounds, some of them lowered."""
    return {name: chance.choice(values) for name, values in LOWERED.items() if chance.random() < 0.4}

"""The bounds of the broker: each numeric constant is driven past twice its value by a phase, or is not a bound.

A new constant, cache or comparison of a length must be entered here.
"""

import ast
from collections import Counter

from tests.soak.__main__ import PHASES
from tests.soak.constants import NOT_BOUNDS_IN_CODE, NOT_LIMITS, collected, constants_in, lengths_in
from tests.soak.soak import MODES

#: Bound -> the phase that drives it past twice its value. Phases in several modes are named without their mode.
DRIVEN = {
    # Data that wait for the disk.
    "config.bounds.confirms_ahead": "confirms ahead",
    "config.bounds.unwritten_bytes": "unwritten messages",
    "config.bounds.returns": "returned while the disk is slow",
    "config.bounds.batch_bytes": "dropped at once",
    "config.bounds.group_bytes": "large transaction",
    "config.bounds.entries": "copies in many queues",
    "config.bounds.positions": "settled at once",
    "config.bounds.log_bytes": "log of definitions",
    "config.bounds.full_log_bytes": "log of definitions",
    "store.groups._LARGE": "dropped at once",
    "store.files.Files.parts_at_once": "dropped at once",
    # Stored data.
    "config.bounds.segment_bytes": "backlog",
    "store.compaction.SPARE_SEGMENTS": "compaction",
    "config.bounds.compaction_bytes": "compaction",
    # At full size only: the journal's format has 16 bits for the number, which cannot be lowered.
    "store.record.MAX_COUNT": "counted deliveries",
    "store.record._MOST": "copies by CC",
    # Streams.
    "config.bounds.chunk_bytes": "streams",
    "config.bounds.index_bytes": "streams",
    "config.bounds.stream_cache_bytes": "streams",
    "config.bounds.stream_skips": "filtered streams",
    "config.bounds.stream_read_bytes": "filtered streams",
    "store.streams.segment.READ_BYTES": "streams",
    # Messages in memory, and out of it.
    "config.bounds.page_count": "backlog",
    "config.bounds.page_bytes": "large pages",
    "config.bounds.least_page_count": "spilled",
    "config.bounds.least_page_bytes": "spilled",
    "config.bounds.read_count": "backlog",
    "store.reading._WINDOW_BYTES": "dropped at once",
    "store.reading._ALONE_BYTES": "large pages",
    "store.reading._BEYOND_BYTES": "dropped at once",
    "store.reading._LARGE_BYTES": "large pages",
    "broker.queues.lines.page_out.STEP_PAGES": "spilled",
    "config.bounds.spill_bytes": "spilled",
    "config.bounds.deferred_free": "disposed",
    "config.bounds.departures": "disposed",
    "config.bounds.releases": "delayed",
    "config.bounds.expiries": "expiration anywhere quorum",
    "broker.queues.expiry.BEHIND": "expiration anywhere quorum",
    "config.bounds.unswept_bytes": "large pages",
    # Queues and exchanges.
    "config.bounds.leaving_bytes": "dropped at once",
    "broker.queues.lines.ready_line.SLACK": "expiration anywhere quorum",
    "broker.queues.length_limit.REOPENED_AT": "reject-publish quorum",
    "config.bounds.round_count": "dealt out",
    "config.bounds.round_bytes": "dealt out",
    "broker.queues.kinds.DEFAULT_DELIVERY_LIMIT": "default delivery limit",
    "broker.queues.arguments.redeclaration.KEPT": "redeclared queue",
    "broker.redrive.redrives.KEPT": "redrives",
    "broker.redrive.redrives: maxlen=KEPT": "redrives",
    "config.bounds.slice_count": "redrives",
    "broker.queues.last_value.values._MOVED": "redrives",
    "config.bounds.slice_bytes": "redrives",
    "config.bounds.deduplication_ids": "duplicates",
    "config.bounds.batches": "batches",
    "config.bounds.batch_members": "batches",
    "config.bounds.batch_failures": "batches",
    "config.bounds.batch_events": "batches",
    "config.bounds.batch_removals": "batches",
    "config.bounds.stream_offsets": "stream offsets",
    "config.bounds.jobs": "jobs",
    "config.bounds.job_reply_bytes": "jobs",
    "config.bounds.job_replies_bytes": "jobs",
    # At full size only: the constant is not lowered.
    "config.bounds.expired_ids": "duplicates",
    "broker.deduplication.message_key.MOST_BYTES": "duplicates",
    "broker.queues.groups.key.MOST_BYTES": "groups classic",
    "broker.queues.groups.group._REMOVED": "groups classic",
    "amqp.locks._SPARE": "locks",
    "config.bounds.many_bindings": "bindings",
    "config.bounds.binding_removals": "bindings",
    "broker.queues.lines.quorum_lines.StrictLevels.MAX_PRIORITY": "priorities quorum, strict",
    "broker.publishing.inspection._KNOWN_COUNT": "small properties",
    "wire.values.MAX_DEPTH": "nested arguments",
    # Clients.
    "config.bounds.routes": "exchanges",
    "amqp.routes.COLD": "exchanges",
    "config.bounds.few_routes": "exchanges",
    "config.bounds.all_routes": "routes",
    "config.bounds.unread_bytes": "unread messages",
    "config.bounds.room_bytes": "large",
    "amqp.output.LARGE": "large",
    "server.reading.REQUEST_BYTES": "large",
    "amqp.output._KEPT": "large",
    "amqp.output.SMALL": "large",
    "amqp.body_stream.STREAMED": "large",
    "message.pieces.LARGE": "large",
    "server.reading.READ_BYTES": "large",
    "server.reading.MOST_READ_BYTES": "turns of reading",
    "server.reading.READ_MESSAGES": "turns of reading",
    "server.reading.TURN_BYTES": "turns of reading",
    "server.reading.LARGE_READ_BYTES": "large",
    "server.reading.LARGEST_READ_BYTES": "too large",
    "server.transport.WRITE_HIGH_BYTES": "large",
    "server.transport.WRITE_LOW_BYTES": "large",
    # Users.
    "config.bounds.permissions": "gone with their connection",
    "broker.users.login_guard.FREE_GUESSES": "guesses from one address",
    "config.bounds.guesses": "guesses",
    "patterns._GIVEN_UP_AFTER": "patterns",
    "patterns._LONGEST": "patterns",
    "patterns._DEEPEST": "patterns",
    # Observers.
    "config.bounds.histories": "histories",
    "config.bounds.samples": "lists",
    # HTTP and TLS.
    "config.bounds.http_connections": "HTTP connections at once",
    "config.bounds.handshakes": "stalled handshakes, AMQP",
    "config.bounds.accepts": "stalled handshakes, AMQP",
    "config.bounds.pages": "metrics pages at once",
    "config.bounds.body_bytes": "bodies that are too large",
    "config.bounds.bodies_bytes": "bodies at once",
    "config.bounds.answers_bytes": "unread answers",
    "config.bounds.got_bytes": "messages held by a request",
    "config.bounds.rows": "lists",
    "config.bounds.sessions": "logins to the page",
    "config.bounds.user_sessions": "logins to the page",
    "management.bodies.MAX_LOGIN_BYTES": "bodies that are too large",
    "management.bodies.SMALL_BYTES": "bodies at once",
    "management.formats.rates.MAX_STEPS": "refused requests",
    "management.listing.MAX_PAGE_SIZE": "lists",
    "management.listing.DEFAULT_PAGE_SIZE": "lists",
    "management.nesting.MAX_BODY_LEVELS": "refused requests",
    "management.nesting.MAX_DEFINITIONS_LEVELS": "refused requests",
    "management.streamed.WHOLE_BYTES": "lists",
    "server.http_protocol.PIECE_BYTES": "lists",
    "server.http_protocol.READ_BYTES": "bodies at once",
    # Shovels.
    "broker.shovels.definition._PREFETCH": "shovel prefetch",
    "client.link.READ_BYTES": "shovel window",
    "client.link.WRITE_HIGH_BYTES": "shovel window",
    "config.bounds.shovel_bytes": "shovel window",
}

#: Reason -> limits that no phase drives.
NOT_DRIVEN = {
    "copies of one job; driven by tests/broker/jobs with a lower bound": "broker.jobs.job.MOST_PLACES",
    "first queues of one job; driven by tests/broker/jobs": "broker.jobs.job._MOST_FIRST",
    "256,000 writes; driven by tests/store/streams/test_explore_streams.py": "config.bounds.segment_chunks",
    "of a connection to PostgreSQL; driven by tests/store/database/test_repeated.py": "store.database.repeated.MOST",
    "of `amqpbroker store`, which does not serve": "store.directory.stream_inspection._WINDOW_BYTES",
    "driven by tests/broker/tracking": "broker.tracking.expiries.SLACK",
    "messages that come back at once; driven by the tests of groups": "config.bounds.returned_follows",
    "how much of a queue is read at a time; driven by the unit tests of peeking, browsing and redrives": """
        amqp.browsing._STEP management.peeking.ANSWER_BYTES management.peeking._STEP message.checksum._BODY_BYTES
        config.bounds.follows  broker.queues.groups.redrive._STEP
         config.bounds.slice_visits
        config.bounds.superseded broker.queues.groups.stale_versions.MORE
        broker.redrive.redrive._STEP broker.jobs.job_status.MOST_AHEAD broker.jobs.job_status._STEP
    """,
    "a share of the machine's memory, or what its allocator keeps": """
        server.allocator.KEPT_BYTES server.allocator.MAPPED_BYTES server.allocator._M_MMAP_THRESHOLD
        server.allocator._M_TRIM_THRESHOLD server.app.UNKNOWN_MEMORY_BYTES server.resources.SHORT
        server.resources.SMALL_BYTES server.resources.WORTH_BYTES
    """,
    "of the system: clients that are not accepted yet, file descriptors": """
        server.app.BACKLOG server.app.RESERVED_FILES server.http.BACKLOG server.machine.OPEN_MAX
        server.machine.SELECTABLE_SOCKETS
    """,
    "the least that is read at a time": "server.reading.LEAST_READ_BYTES server.reading.SHORT_TURN_BYTES",
    "a read of more than 1 GiB, which only recovery does": "store.files.Files.at_once",
    "40,000 client certificates; driven by tests/server/test_certificate_depth.py with a lower bound": """
        server.certificate_depth.REMEMBERED
    """,
    "driven by tests/management/test_waiting.py with lower bounds": "config.bounds.waiting config.bounds.user_waiting",
    "when the broker ends": "server.clients._TURNS",
    "failures of the disk; driven by unit tests with a disk that fails": """
        config.bounds.failed_reads config.bounds.retry_log_bytes
    """,
    "50 minutes of samples; driven by tests/broker/counters/test_rates.py, which moves the clock": """
        broker.counters.rates.HISTORY_LENGTH
    """,
}

FOUND = list(collected())
EXCEPTIONS = [
    *NOT_BOUNDS_IN_CODE,
    *[name for table in (NOT_LIMITS, NOT_DRIVEN) for names in table.values() for name in names.split()],
]


def test_each_constant_is_driven_past_twice_its_value_or_is_not_a_bound():
    assert [name for name in FOUND if name not in DRIVEN and name not in EXCEPTIONS] == []


def test_entered_constants_are_unique_and_exist():
    assert [name for name, count in Counter([*DRIVEN, *EXCEPTIONS]).items() if count > 1] == []
    assert {*DRIVEN, *EXCEPTIONS} - set(FOUND) == set()


def test_phases_that_drive_bounds_exist():
    phases = {phase.name.removesuffix(f", {mode.name}") for phase in PHASES for mode in MODES}
    assert set(DRIVEN.values()) - phases == set()


def test_constants_caches_and_limited_lengths_are_collected():
    source = """
LIMIT: Final = 4 * 1024
_OTHER = LIMIT // 2
TEXT = "4"
def is_long(lines):
    return len(lines) > 30 or len(lines) > 1
@lru_cache(maxsize=8)
def remembered(): pass
class Line:
    most = 3
"""
    tree = ast.parse(source)
    assert [*constants_in(tree, "m"), *sorted(lengths_in(tree, "m"))] == [
        "m.LIMIT",
        "m._OTHER",
        "m.Line.most",
        "m.remembered()",
        "m: len(lines) > 30",
        "m: maxsize=8",
    ]

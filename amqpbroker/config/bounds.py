"""Internal limits of the broker, beside RabbitMQ's settings. Users cannot set these limits; tests lower them."""

from typing import NamedTuple


class Bounds(NamedTuple):
    """Limits of caches, buffers and batches.

    unwritten_bytes: memory of operations and answers that wait for the disk; above it, clients that add to it are not
    read. unread_bytes: answers that wait for a client that does not read; above it, the client is not read either.
    room_bytes: deliveries that are added to the output of a connection at a time; beyond them, its consumers wait.
    routes: routes that a channel caches. few_routes: routes that a channel caches in any case. all_routes: routes that
    the channels of a vhost cache together, before a channel with more than `few_routes` drops its own.
    confirms_ahead: runs of publishes that a channel confirms before an earlier publish; beyond that, in order.
    returns: returned copies that are collected while the disk is stuck, before each is kept only once.
    many_bindings: bindings of a deleted queue or exchange that are removed at once. binding_removals: if there are
    more, those that are removed in one event loop iteration.
    round_count, round_bytes: messages, and bytes of their bodies, that a quorum queue assigns to several consumers
    before it delivers them.
    releases: messages that a delayed exchange releases in one event loop iteration.
    leaving_bytes: messages that expire, are dropped or follow their group together: they may be on the disk only, and
    memory may not have space for more at once.
    expiries: expired messages of a queue that are removed in one event loop iteration.
    follows: messages of closed groups that are dead-lettered, or refused, in one event loop iteration.
    returned_follows: those of them that were dead-lettered before, in one run of dead letters.
    superseded: messages with an old version that leave a queue in one event loop iteration.
    failed_reads: delayed messages that cannot be read, more than could be, until a delayed exchange pauses all reading.
    unswept_bytes: delayed messages that come in before a delayed exchange looks which of its messages can leave memory.
    segment_bytes: size from which the journal begins another segment.
    permissions: names of queues and exchanges for which a user's permission is cached.
    guesses: pairs of user and address whose failed logins are remembered.
    batch_bytes: size from which a batch of the journal takes no further group. group_bytes: size of a group from which
    it is written as several groups; a machine failure may then store only its first groups. At most 1 GiB, so that the
    last batch of a segment begins and ends within what a position can express. entries: queues in one publish record;
    its index has 16 bits. positions: positions in one settle or return record.
    compaction_bytes: bytes of the oldest segment that compaction examines for one batch.
    page_count: messages that a queue keeps in memory at each of its ends, and messages of the pages between them.
    page_bytes: the same for the bytes of their bodies. least_page_count, least_page_bytes: when memory is short, fewer
    messages than that, with fewer bytes, stay in memory. read_count: messages of a page that are read back at once;
    all clients wait meanwhile, and a consumer needs no more than its prefetch.
    spill_bytes: size from which another spill file is begun.
    log_bytes: size of the write-ahead log of the definitions from which it is moved into the database. full_log_bytes:
    size from which a change waits for that.
    retry_log_bytes: growth of the log after which a failed move is tried again.
    slice_count, slice_bytes: messages, and bytes of their bodies, that a redrive, a task of a message group, or a
    request that gets or moves messages handles in one event loop iteration. slice_visits: messages among which the
    redrive of a group looks for the group's dead letters in one iteration.
    deduplication_ids: ids that a queue or an exchange remembers, unless its argument x-cache-size says otherwise;
    beyond that, it forgets the oldest. An id takes about 400 bytes of memory.
    expired_ids: expired ids that a queue or an exchange forgets in one event loop iteration.
    batches: batches of a vhost, of which each user may have a share. Beyond that, the batch that was the first to
    end in success is forgotten, or if there is none, the first complete one; otherwise a new batch is refused.
    batch_members: members of a batch, about 200 bytes each; further ones are refused.
    batch_failures: failed members of a batch that its event messages and the HTTP API name.
    batch_events: batches about whose events messages are sent in one event loop iteration. batch_removals: members
    of complete batches that are removed in one event loop iteration.
    jobs: jobs of a vhost, about 1 kB each, of which each user may have a share. Beyond that, the job that ended
    first is forgotten, and if none has ended, a new job is refused. job_reply_bytes: largest reply of a worker to a
    job; a larger one is refused.
    job_replies_bytes: memory of all these replies in a vhost, shared by users in the same way; beyond that, the
    jobs that ended first are forgotten, and if there are none, replies are refused.
    chunk_bytes: size from which a chunk of a stream takes no further message: what a reader reads at a time.
    segment_chunks: chunks from which a segment of a stream takes no further one, as in RabbitMQ (osiris_log).
    index_bytes: bytes of a stream's segment between two entries of its index. stream_cache_bytes: memory of the chunks
    of all streams that were read or written last. stream_skips: messages that a filter of a stream's consumer passes
    over in one event loop iteration. stream_read_bytes: bytes of bodies of a stream after which such a filter, and a
    request, let other work go on. stream_offsets: offsets that a stream remembers for its consumers; beyond that, it
    forgets the one that has not changed for the longest time, except those of running consumers.
    deferred_free: messages of a purged or deleted queue that are freed in one event loop iteration.
    departures: messages that left together, each of which takes several operations, that are recorded in one event
    loop iteration: purged messages of batches and jobs, deliveries that are settled together, and messages over a
    length limit.
    http_connections: connections of an HTTP listener; further ones are dropped. waiting: requests of a listener that
    wait: long polls, messages that are read, slow bodies, and answers that are sent in parts. user_waiting: those of
    one user; users who are not administrators leave as many to administrators.
    handshakes: clients of a listener at a time that shake hands by TLS, or whose PROXY header is awaited; further
    clients wait in the kernel's backlog. accepts: clients that such a listener accepts in one event loop iteration.
    pages: metrics pages that a listener generates and sends at a time. A page holds the labels of its objects until it
    is read.
    body_bytes: largest body of an HTTP request. The largest bodies in practice are the definitions of a large broker.
    bodies_bytes: memory of all large bodies of an HTTP listener, from their first byte until the end of their requests.
    answers_bytes: unread HTTP answers of a listener; above it, the connections that have waited longest are dropped
    unless they read on. A single answer may be larger.
    rows: rows that an HTTP request or an import of definitions handles in one event loop iteration. For work that takes
    less time than a row, such as a sample of the metrics, the limit is a multiple of this number.
    got_bytes: stored messages that one HTTP request may keep out of their queue, since they are in memory meanwhile.
    histories: objects whose samples are recorded for charts, at most 13 kB each: those that were active or shown last.
    samples: objects whose counters are sampled in one event loop iteration.
    sessions: logins to the page of a listener. user_sessions: those of one user. A further login ends the oldest of
    these.
    shovel_bytes: memory of the messages that a shovel has not moved yet; above it, the shovel reads no more.
    """

    unwritten_bytes: int = 16 * 1024 * 1024
    unread_bytes: int = 8 * 1024 * 1024
    room_bytes: int = 512 * 1024
    routes: int = 16_384
    few_routes: int = 256
    all_routes: int = 131_072
    confirms_ahead: int = 1024
    returns: int = 20_000
    many_bindings: int = 1000
    binding_removals: int = 100
    round_count: int = 256
    round_bytes: int = 64 * 1024
    releases: int = 1000
    leaving_bytes: int = 4 * 1024 * 1024
    expiries: int = 250
    follows: int = 100
    returned_follows: int = 100
    superseded: int = 100
    failed_reads: int = 100
    unswept_bytes: int = 4 * 1024 * 1024
    segment_bytes: int = 64 * 1024 * 1024
    permissions: int = 1024
    guesses: int = 10_000
    batch_bytes: int = 64 * 1024 * 1024
    group_bytes: int = 1024 * 1024 * 1024
    entries: int = 60_000
    positions: int = 100_000
    compaction_bytes: int = 1024 * 1024
    page_count: int = 1024
    page_bytes: int = 2 * 1024 * 1024
    least_page_count: int = 64
    least_page_bytes: int = 64 * 1024
    read_count: int = 128
    spill_bytes: int = 64 * 1024 * 1024
    log_bytes: int = 4 * 1024 * 1024
    full_log_bytes: int = 16 * 1024 * 1024
    retry_log_bytes: int = 1024 * 1024
    slice_count: int = 100
    slice_bytes: int = 2 * 1024 * 1024
    slice_visits: int = 1000
    deduplication_ids: int = 100_000
    expired_ids: int = 10_000
    batches: int = 10_000
    batch_members: int = 100_000
    batch_failures: int = 100
    batch_events: int = 100
    batch_removals: int = 1000
    jobs: int = 10_000
    job_reply_bytes: int = 1024 * 1024
    job_replies_bytes: int = 64 * 1024 * 1024
    chunk_bytes: int = 32 * 1024
    segment_chunks: int = 256_000
    index_bytes: int = 64 * 1024
    stream_cache_bytes: int = 16 * 1024 * 1024
    stream_skips: int = 1000
    stream_read_bytes: int = 1024 * 1024
    stream_offsets: int = 10_000
    deferred_free: int = 10_000
    departures: int = 1000
    histories: int = 1000
    samples: int = 250
    http_connections: int = 1000
    waiting: int = 750
    user_waiting: int = 250
    handshakes: int = 1000
    accepts: int = 100
    pages: int = 16
    body_bytes: int = 20_000_000
    bodies_bytes: int = 64 * 1024 * 1024
    answers_bytes: int = 64 * 1024 * 1024
    rows: int = 100
    got_bytes: int = 64 * 1024 * 1024
    sessions: int = 1000
    user_sessions: int = 50
    shovel_bytes: int = 16 * 1024 * 1024


BOUNDS = Bounds()

"""Reading the journal of a vhost that this broker has taken over, or the rest of one that it has followed."""

import logging
from pathlib import Path
from typing import NamedTuple

from amqpbroker.clock import Clock
from amqpbroker.cluster.database_storage import DatabaseStorage
from amqpbroker.cluster.following.vhost_followers import Followed
from amqpbroker.config.bounds import Bounds
from amqpbroker.server.log import in_one_line
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.vhost_logs import reconcile
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import StoreError
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.streams.streams import Streams

log = logging.getLogger(__name__)


class Read(NamedTuple):
    """A journal and its contents, and the streams.

    followed: number of the last batch that had been read before the takeover, 0 if the whole journal was read after it.
    """

    journal: Journal
    found: Recovered
    followed: int
    streams: Streams


def recovered(database: DatabaseStorage, vhost: str, followed: Followed, bounds: Bounds, clock: Clock) -> Read:
    """Open the storage of a log, and read its journal, its definitions, and the ends of its streams.

    vhost: for the operator. followed: of the log; it is discarded when its contents are used, so that after an OSError
    the call may be repeated with another storage. clock: of the vhost. Raises OSError, StoreError.
    """
    database.open()
    journal = Journal(Path("/journal"), database.files, bounds.segment_bytes, name=_name(database, vhost))
    found, before = _continued(database, vhost, journal, followed) or (journal.recover(), 0)
    if found.batches < followed.batches:
        log.critical(
            "vhost '%s': messages that were confirmed may be lost: the last batch is %d, and this broker has read %d;"
            " was a standby promoted that did not have them? The vhost is served without them",
            in_one_line(vhost), found.batches, followed.batches,
        )  # fmt: skip
    if found.closed_in_order:
        journal.go_on(found.doubted)
    else:
        found.doubt(journal.durable)
    if database.log == LOG:
        reconcile(database.fence)
    database.definitions.read()
    streams = Streams(Path("/streams"), database.files, bounds.stream_cache_bytes, synced=False)
    # Here, since it needs several queries for each stream.
    streams.recover(clock, bounds)
    database.recovered()
    return Read(journal, found, before, streams)


def _name(database: DatabaseStorage, vhost: str) -> str:
    """Return the name of a journal for the operator."""
    return "definitions in the database" if database.log == LOG else f"vhost '{in_one_line(vhost)}' in the database"


def _continued(
    database: DatabaseStorage, vhost: str, journal: Journal, followed: Followed
) -> tuple[Recovered, int] | None:
    """Complete what was followed; return None if that cannot be used. Raises OSError.

    Otherwise return the contents of the journal, and the number of the last batch that had been read before.
    """
    follower = followed.follower
    if follower is None:
        return None
    before = follower.found.batches
    try:
        complete = database.read_on(follower)
    except StoreError as error:
        log.info("vhost '%s': %s", in_one_line(vhost), error)
        complete = False
    followed.discard()
    if not complete:
        log.warning("vhost '%s': the journal was not followed to its end, and is read again", in_one_line(vhost))
        return None
    found, marks = follower.found, {number: kept.mark for number, kept in follower.segments.items()}
    journal.continue_from(found, marks)
    return found, before

"""Stores in memory as places of a copy, brokers on them, and their contents as a recovery finds them."""

from pathlib import Path

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.storage import Storage
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store import keys
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.copying.interfaces import Part, Source, Target
from amqpbroker.store.definitions.definitions import (
    KEYS,
    OBJECTS,
    ExchangeDefinition,
    QueueDefinition,
    VhostDefinition,
)
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.reading import Reader
from amqpbroker.store.record import BATCHES_ID, JOBS_ID
from amqpbroker.store.relocations import Relocations
from amqpbroker.store.store import MemoryStore
from amqpbroker.store.streams.segment import parsed_name
from amqpbroker.store.streams.streams import Streams
from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles
from tests.store.copying.life import Life

SHARED = [kind for kind in KEYS if kind not in OBJECTS]


class LastIds(FaultyDefinitions):
    """Counts the ids that are put, as databases do."""

    def put(self, *definitions):
        super().put(*definitions)
        ids = [each.id for each in definitions if isinstance(each, QueueDefinition | ExchangeDefinition)]
        self.last_id = max([self.last_id, *ids])


class MemoryTarget(Target):
    """A store with one part for all vhosts, or one for each. is_complete: brokers may use it."""

    def __init__(self, apart):
        self.name = "memory"
        self.is_complete = True
        self.definitions = FaultyDefinitions()
        self.parts = []
        self.by_vhost = {}
        self._apart = apart

    def is_empty(self):
        return not self.parts and not any(self.definitions.all(kind) for kind in KEYS)

    def begin(self, vhosts):
        self.is_complete = False
        if self._apart:
            self.by_vhost = {vhost: make_part(f"/{vhost}") for vhost in vhosts}
        else:
            self.by_vhost = dict.fromkeys(vhosts, make_part("/all"))
        self.parts = list({part.name: part for part in self.by_vhost.values()}.values())
        return self.by_vhost

    def end(self, definitions):
        self.definitions.put(*definitions)
        self.is_complete = True

    def source(self, check=lambda: None):
        return Source(self.name, self.definitions, self.parts, check)

    def running(self, clock):
        """Return a broker that serves all vhosts."""
        assert self.is_complete
        if not self._apart:
            (part,) = self.parts
            for kind in SHARED:
                part.definitions.put(*self.definitions.all(kind))
            return started(part, clock)
        broker = Broker(Config(), clock, MemoryStore(), self.definitions, shares_vhosts=True)
        for vhost in self.definitions.all(VhostDefinition):
            part = self.by_vhost[vhost.name]
            store, found = opened(part, clock)
            broker.open_vhost(vhost, Storage(store, part.definitions, True), found)
        return broker


def make_part(root):
    return Part(root, Path(root), FaultyFiles(), LastIds())


def opened(part, clock, segment_bytes=BOUNDS.segment_bytes):
    """Return the store of a part, and what is found there."""
    journal = Journal(part.journal, part.files, segment_bytes)
    found = journal.recover()
    streams = Streams(part.streams, part.files, BOUNDS.stream_cache_bytes)
    committer = InlineCommitter(journal, streams.write)

    def failed(error):
        pytest.fail(str(error))

    return Persistence(journal, committer, failed, clock, streams=streams), found


def started(part, clock, segment_bytes=BOUNDS.segment_bytes):
    """Return a broker with one store for all vhosts."""
    store, found = opened(part, clock, segment_bytes)
    broker = Broker(Config(), clock, store, part.definitions)
    broker.storage.recover(found)
    broker.sync()
    return broker


def stopped(broker):
    """End a broker as in a crash, after everything is written."""
    broker.sync()
    broker.discard()


# --- contents ---------------------------------------------------------------------------------------------------------


def contents(parts):
    """Return everything that a recovery finds in these parts by vhost, with names instead of ids and numbers."""
    found = {}
    for part in parts:
        names = named(part)
        for vhost, kind, name in names.values():
            found.setdefault(vhost, {}).setdefault((kind, name), {})
        for vhost, described in _of_journal(part, names).items():
            for key, value in described.items():
                found.setdefault(vhost, {}).setdefault(key, {}).update(value)
        for number, streams in _of_streams(part).items():
            vhost, _, name = names[number]
            found[vhost]["stream", name] = streams
        for kind in OBJECTS:
            for each in part.definitions.all(kind):
                shown = each._replace(id=bool(each.id)) if hasattr(each, "id") else each
                found.setdefault(each.vhost, {}).setdefault(kind.__name__, []).append(shown)
    return found


def named(part):
    """Return the vhost, the kind and the name of everything that has an id."""
    exchanges = {each.id: (each.vhost, "exchange", each.name) for each in part.definitions.all(ExchangeDefinition)}
    queues = {each.id: (each.vhost, "queue", each.name) for each in part.definitions.all(QueueDefinition)}
    exchanges.pop(0, None)
    assert not exchanges.keys() & queues.keys()
    return exchanges | queues


def _of_journal(part, names):
    journal = Journal(part.journal, part.files)
    found = journal.recover(repair=False)
    described = {}
    for number, copies in found.copies.items():
        if number not in names:
            continue
        vhost, *holder = names[number]
        reading = Reader(journal, Relocations()).start(copies.positions)
        dues_ms = copies.dues_ms or [0] * len(copies.positions)
        rows = [
            (sequence, deadline_ms, size, priority, found.returned.get(position), due_ms, shown(reading, position))
            for sequence, position, deadline_ms, size, priority, due_ms in zip(
                copies.sequences, copies.positions, copies.deadlines_ms, copies.sizes, copies.priorities, dues_ms,
                strict=True,
            )
        ]  # fmt: skip
        described.setdefault(vhost, {})[tuple(holder)] = {"copies": rows}
    for number, ids in found.ids.items():
        rows = list(zip(ids.sequences, ids.keys, ids.expires_ms, strict=True))
        if number in names:
            vhost, *holder = names[number]
            described.setdefault(vhost, {}).setdefault(tuple(holder), {})["ids"] = rows
        elif number in (BATCHES_ID, JOBS_ID):
            for vhost, owned in _owned(rows, names).items():
                described.setdefault(vhost, {}).setdefault(number, {}).update(owned)
    journal.close()
    return described


def shown(reading, position):
    message = reading.message(position)
    return (
        message.address,
        bytes(message.frames),
        message.priority,
        message.persistent,
        message.extra_keys,
        message.cc_keys,
        message.died,
    )


def _owned(rows, names):
    """Return the records of batches or jobs by vhost, each owner with those that belong to it."""
    by_number = {}
    for number, key, expires_ms in rows:
        if key.startswith((keys.BATCH, keys.JOB)):
            shown_key = keys.with_places(key, lambda _: 0) if key.startswith(keys.JOB) else key
            by_number[number] = (keys.vhost_of(key), shown_key, expires_ms, _places(key, names), [])
    for _, key, expires_ms in rows:
        if not key.startswith((keys.BATCH, keys.JOB)) and keys.owner_of(key) in by_number:
            by_number[keys.owner_of(key)][-1].append((keys.with_owner(key, 0), expires_ms))
    owned = {}
    for number in sorted(by_number):
        vhost, *rest = by_number[number]
        owned.setdefault(vhost, {})[len(owned.get(vhost, ()))] = rest
    return owned


def _places(key, names):
    places = []

    def place(number):
        places.append(names.get(number))
        return 0

    if key.startswith(keys.JOB):
        keys.with_places(key, place)
    return places


def _of_streams(part):
    found = {}
    for name in part.files.names(part.streams):
        parsed = parsed_name(name)
        if parsed is not None:
            descriptor = part.files.open(part.streams / name)
            data = part.files.read(descriptor, 0, part.files.size(descriptor))
            part.files.close(descriptor)
            found.setdefault(parsed[0], {})[parsed[1]] = data
    return found


def lived(*vhosts):
    """Return a store with one part, several segments, and vhosts that had the same life."""
    part = make_part("/data")
    broker = started(part, clock_at(), segment_bytes=20_000)
    lives = [Life(broker, vhost) for vhost in vhosts]
    for number, life in enumerate(lives):
        life.begin(*["before"] * number)
    for life in lives:
        life.live()
    stopped(broker)
    return source_of(part)


def lived_apart(*vhosts):
    """Return a store with a part for each vhost, which had the same life: its ids and numbers are the same, too."""
    sources = [lived(vhost) for vhost in vhosts]
    definitions = FaultyDefinitions()
    for each in sources:
        for kind in SHARED:
            definitions.put(*each.definitions.all(kind))
    # The names of parts are unique.
    parts = [each.parts[0]._replace(name=vhost) for vhost, each in zip(vhosts, sources, strict=True)]
    return Source("apart", definitions, parts, lambda: None)


def source_of(*parts, check=lambda: None):
    return Source("source", parts[0].definitions, parts, check)


#: Moments in which a copy ends: when the target has begun, between two parts, and when only its end is missing.
INTERRUPTIONS = ("begun", "between parts", "written")


def interrupted(source, moment):
    """Return a source with which a copy ends by InterruptedError."""

    def parts():
        if moment == "between parts":
            yield from source.parts
        raise InterruptedError

    def check():
        raise InterruptedError

    return source._replace(check=check) if moment == "written" else source._replace(parts=parts())


def clock_at(wall_ms=1_700_000_000_000):
    return ManualClock(wall_ms)

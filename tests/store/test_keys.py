"""Keys of the records of batches and jobs, as the broker makes them."""

import struct

import pytest

from amqpbroker.broker.batches.batch import Batch, recovered_batch
from amqpbroker.broker.batches.member import member_name
from amqpbroker.broker.jobs.job import Job, Place, recovered_job, reply_pieces
from amqpbroker.store.keys import owner_of, vhost_of, with_owner, with_places
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.record import JOBS_ID

VHOST = "tä's \udcff"
PLACES = [Place("", 7, 1, 5, True, 2), Place("", 0, 2, 0, False, -1), Place("", 9, 1 << 40, 0, True, 0)]


def job():
    made = Job(VHOST, b"id", 3, "user", 1_000, 2_000)
    made.exchange, made.routing_key, made.token, made.queue = "x", b"key", "token", "q"
    made.fail("q", "rejected", b"deaths", 4)
    made.places = list(PLACES)
    return made


def test_vhosts_of_batches_and_jobs_are_found():
    assert vhost_of(Batch(VHOST, b"id", 1, "user", 1_000, 2_000).new_record().key) == VHOST
    assert vhost_of(job().new_record().key) == VHOST


@pytest.mark.parametrize("number", [1, 1 << 40])
def test_owners_of_members_and_of_replies_are_replaced(number):
    (piece,) = reply_pieces(5, b"properties", b"body")
    for before, after in (
        (member_name(5, b"k" * 12) + b"details", member_name(number, b"k" * 12) + b"details"),
        (piece, reply_pieces(number, b"properties", b"body")[0]),
    ):
        assert owner_of(before) == 5
        assert with_owner(before, number) == after
        assert owner_of(after) == number


def test_places_of_a_job_get_other_ids_and_nothing_else_changes():
    record = job().new_record()
    changed = with_places(record.key, lambda holder_id: holder_id + 100)
    found = recovered_job(MessageIdRecord(changed, JOBS_ID, 3, 0, True), {})
    assert found.places == [place._replace(holder_id=place.holder_id + 100) for place in PLACES]
    assert with_places(changed, lambda holder_id: holder_id - 100) == record.key


def test_a_batch_with_headers_of_all_kinds_keeps_its_vhost():
    batch = Batch(VHOST, b"id", 1, "user", 1_000, 2_000)
    batch.terms.exchange, batch.terms.routing_key = "x", b"key"
    record = batch.new_record()
    assert vhost_of(record.key) == recovered_batch(record).vhost


def test_a_key_that_is_cut_off_is_an_error():
    first_queues = 2  # bytes with their number, which is 0
    with pytest.raises(struct.error):
        with_places(job().new_record().key[: -first_queues - 1], lambda holder_id: holder_id)

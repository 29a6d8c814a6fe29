"""Administrators' requests, and the vhosts that may exist after them."""

import random

import pytest

from tests.simulation.database.broker import Request
from tests.simulation.database.vhosts import DEFAULT, Vhosts

CREATE = Request("vhost 1", deletes=False, creates=True)
DELETE = Request("vhost 1", deletes=True, creates=False)


@pytest.fixture
def vhosts():
    return Vhosts(random.Random(1), 2)


def test_a_request_that_is_not_done_may_have_taken_effect(vhosts):
    assert vhosts.check({DEFAULT}) == ""
    assert "exists" in vhosts.check({DEFAULT, "vhost 1"})
    vhosts.requested(CREATE)
    assert (vhosts.check({DEFAULT}), vhosts.check({DEFAULT, "vhost 1"})) == ("", "")


def test_a_request_that_is_done_has_taken_effect(vhosts):
    vhosts.requested(CREATE)
    vhosts.done(CREATE)
    assert vhosts.check({DEFAULT, "vhost 1"}) == ""
    assert "does not exist" in vhosts.check({DEFAULT})


def test_a_later_request_may_have_taken_effect_too(vhosts):
    first, second = CREATE, Request(*DELETE)
    vhosts.requested(first)
    vhosts.requested(second)
    vhosts.done(first)
    assert (vhosts.check({DEFAULT}), vhosts.check({DEFAULT, "vhost 1"})) == ("", "")
    vhosts.done(second)
    assert "exists" in vhosts.check({DEFAULT, "vhost 1"})
    assert vhosts.deletions("vhost 1") == 1


def test_a_vhost_may_be_deleted_and_not_created_again_yet(vhosts):
    again = Request("vhost 1", deletes=True, creates=True)
    vhosts.requested(again)
    assert (vhosts.check({DEFAULT}), vhosts.check({DEFAULT, "vhost 1"})) == ("", "")
    vhosts.done(again)
    assert "does not exist" in vhosts.check({DEFAULT})


def test_the_default_vhost_stays(vhosts):
    assert "default" in vhosts.check(set())


def test_nobody_asks_for_anything_while_it_pauses(vhosts):
    assert vhosts.choose([]) == CREATE
    vhosts.pauses = True
    assert vhosts.choose([]) is None

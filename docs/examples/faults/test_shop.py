"""Tests of the shop with injected faults. `SHOP=careless pytest test_shop.py` fails, SHOP=careful passes."""

import importlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
shop = importlib.import_module(os.environ.get("SHOP", "careful"))

ORDERS = ["a lamp", "two chairs", "a book"]


@pytest.fixture
def till(amqp_url):
    till = shop.Till(amqp_url)
    yield till
    till.close()


@pytest.fixture
def books(amqp_url):
    return shop.Books(amqp_url)


def sell(till, orders=ORDERS):
    for order in orders:
        till.take(order)


def test_on_a_good_day(till, books):
    sell(till)
    books.book_all()
    assert books.booked == ORDERS


def test_no_order_is_lost_with_a_connection(amqp_vhost, till, books):
    amqp_vhost.faults.reset(on="basic.publish", nth=2)
    sell(till)
    books.book_all()
    assert books.booked == ORDERS


def test_no_order_is_lost_when_the_broker_refuses_it(amqp_vhost, till, books):
    amqp_vhost.faults.nack(publish=2)
    sell(till)
    books.book_all()
    assert books.booked == ORDERS


def test_no_order_is_booked_twice_when_its_confirm_is_lost(amqp_vhost, till, books):
    amqp_vhost.faults.reset(instead_of="basic.ack", nth=2)
    sell(till)
    books.book_all()
    assert books.booked == ORDERS


def test_no_order_is_booked_twice_when_its_ack_is_lost(amqp_vhost, till, books):
    amqp_vhost.faults.drop(on="basic.ack", nth=2)
    sell(till)
    books.book_all()
    assert books.booked == ORDERS


@pytest.mark.parametrize("seed", range(5))
def test_on_bad_days(amqp_vhost, till, books, seed):
    orders = [f"{number} of {what}" for number in range(1, 6) for what in ORDERS]
    amqp_vhost.faults.random(seed, rate=0.05, times=20)
    sell(till, orders)
    books.book_all()
    assert sorted(books.booked) == sorted(orders)

"""The shop without faults. The tests advance the broker's clock by days."""

import pika
import pytest
from shop import topology
from shop.orders import NotPlacedError

THANKS = "ann: Thank you! Order 1 is on its way."


def test_who_has_paid_gets_a_mail(shop):
    shop.open()
    shop.order("1", cents=4200)
    assert shop.mail() == THANKS
    assert shop.bank.charged == {"1": 4200}
    assert [message.routing_key for message in shop.broker.published(exchange="shop")] == ["order.placed", "order.paid"]


def test_who_cannot_pay_gets_another_one(shop):
    shop.open()
    shop.order("1", "poor")
    assert shop.mail() == "poor: Your bank declined order 1."


def test_orders_wait_until_the_shop_is_open(shop):
    shop.order("1")
    shop.order("2")
    shop.broker.wait_until(queue="payments", ready=2, consumers=0)
    shop.open()
    assert sorted([shop.mail(), shop.mail()]) == [THANKS, THANKS.replace("1", "2")]


def test_after_three_days_the_customer_is_asked_and_no_earlier(shop, clock):
    shop.open()
    shop.order("1")
    assert shop.mail() == THANKS
    assert shop.no_mail()
    clock.advance(days=2, hours=23)
    assert shop.no_mail()
    clock.advance(hours=1)
    assert shop.mail() == "ann: Are you content with order 1?"


def test_a_bank_that_is_down_is_asked_again_after_growing_pauses(shop, clock):
    shop.open()
    shop.bank.down = 3
    shop.order("1")
    for attempt, pause_s in enumerate(topology.PAUSES_S, 1):
        shop.broker.wait_until(queue=f"payments.wait.{attempt}", ready=1)
        shop.rest()
        clock.advance(seconds=pause_s / 2)
        assert len(shop.broker.messages(f"payments.wait.{attempt}")) == 1
        clock.advance(seconds=pause_s / 2)
    assert shop.mail() == THANKS


def test_what_fails_for_good_is_put_aside_and_can_be_tried_again(shop, clock):
    shop.open()
    shop.bank.down = 4
    shop.order("1")
    for attempt, pause_s in enumerate(topology.PAUSES_S, 1):
        shop.broker.wait_until(queue=f"payments.wait.{attempt}", ready=1)
        shop.rest()
        clock.advance(seconds=pause_s)
    shop.broker.wait_until(queue="payments.failed", ready=1)
    (message,) = shop.broker.messages("payments.failed")
    assert message.headers["error"] == "the bank cannot be reached"

    assert shop.retry("payments") == 1  # the next morning
    assert shop.mail() == THANKS


def test_what_nobody_can_read_keeps_nobody_from_working(shop):
    shop.open()
    with pika.BlockingConnection(pika.URLParameters(shop.broker.url)) as connection:
        connection.channel().basic_publish("shop", "order.placed", b"what is this?")
    shop.order("1")
    assert shop.mail() == THANKS
    shop.broker.wait_until(queue="payments.failed", ready=1)


def test_an_order_for_which_there_is_no_queue_is_refused(shop):
    shop.order("1")
    with pika.BlockingConnection(pika.URLParameters(shop.broker.url)) as connection:
        connection.channel().queue_unbind("payments", "shop", "order.placed")
    with pytest.raises(NotPlacedError, match="order 2"):
        shop.order("2")
    assert [message.properties["message_id"] for message in shop.broker.unroutable] == ["order.placed 2"]


def test_it_works_with_every_version_of_rabbitmq(shop, amqp_version):
    shop.open()
    shop.order("1")
    assert shop.mail() == THANKS
    assert shop.broker.channel_errors == []

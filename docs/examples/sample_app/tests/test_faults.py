"""The shop under faults: no order is lost, and no customer pays twice."""

import pytest
from shop.orders import NotPlacedError
from shop.worker import Worker


def test_an_order_that_the_broker_refuses_is_not_placed(shop):
    shop.broker.faults.nack(routing_key="order.placed")
    with pytest.raises(NotPlacedError, match="order 1"):
        shop.order("1")


def test_an_order_whose_confirm_is_lost_is_placed_again_and_paid_once(shop):
    shop.open()
    shop.broker.faults.reset(instead_of="basic.ack")
    shop.order("1")
    assert len(shop.broker.published(routing_key="order.placed", count=2)) == 2
    assert "Order 1" in shop.mail()
    assert shop.no_mail()
    assert shop.bank.charged == {"1": 4200}


def test_nobody_gets_a_mail_twice(shop):
    shop.open()
    shop.broker.faults.duplicate(queue="mails")
    shop.order("1")
    assert "Order 1" in shop.mail()
    assert shop.no_mail()


def test_a_broker_that_is_out_of_reach_is_told_to_the_customer(shop):
    shop.broker.faults.drop(on="exchange.declare", times=None)
    with pytest.raises(NotPlacedError, match="out of reach"):
        shop.order("1")


def test_what_waits_outlives_the_broker(shop, amqp_broker):
    shop.open()
    shop.bank.down = 1
    shop.order("1")
    shop.broker.wait_until(queue="payments.wait.1", ready=1)
    shop.rest()
    amqp_broker.restart()
    shop.rest()  # all workers are consuming again
    amqp_broker.clock.advance(minutes=1)
    assert "Order 1" in shop.mail()


class HastyWorker(Worker):
    """Acknowledges first and then works, which goes unnoticed until a fault occurs."""

    def _on_message(self, channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        self._handle(channel, method, properties, body)


@pytest.mark.parametrize(("payments_worker", "mails"), [(Worker, ["Order 1", "Order 2"]), (HastyWorker, ["Order 2"])])
def test_an_order_survives_the_connection_on_which_it_came(shop, amqp_broker, payments_worker, mails):
    """The bank charged the customer, and the event is lost with the connection.

    A worker that has not acknowledged yet gets the order again. With the hasty worker, the customer has paid and
    gets no mail.
    """
    shop.open(payments_worker)
    amqp_broker.faults.only(connection="payments").reset(on="basic.publish")
    shop.order("1")
    shop.order("2")
    assert all(text in shop.mail() for text in mails)
    assert shop.no_mail()
    assert set(shop.bank.charged) == {"1", "2"}

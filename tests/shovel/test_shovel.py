"""Shovels of running brokers over sockets, so these tests are few and fast."""

import asyncio
import time
from itertools import islice
from unittest.mock import Mock

import pika
import pytest

from amqpbroker.errors import not_stored
from amqpbroker.testing import Broker
from tests.certificates import Authority


class Site:
    """Two brokers, and a shovel from the queue `out` of the first to the queue `in` of the second."""

    def __init__(self, near, far):
        self.near, self.far = near, far
        self.far_url = far.url
        self.connections = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            if connection.is_open:
                connection.close()

    def set(self, name="s", **changes):
        value = {
            "src-uri": "amqp://",
            "src-queue": "out",
            "dest-uri": self.far_url,
            "dest-queue": "in",
            "reconnect-delay": 0.05,
            **{key.replace("_", "-"): value for key, value in changes.items()},
        }
        value = {key: each for key, each in value.items() if each is not None}
        self.near._call(lambda instance: instance.broker.parameters.put("shovel", "/", name, value))

    def delete(self, name="s"):
        self.near._call(lambda instance: instance.broker.parameters.delete("shovel", "/", name))

    def statuses(self):
        return self.near._call(lambda instance: instance.broker.shovels.statuses())

    def until(self, state, reason=""):
        """Wait for the state of the shovel s."""
        return eventually(
            lambda: next((s for s in self.statuses() if s.state == state and reason in s.reason), None),
            lambda: f"{state} {reason}, not {self.statuses()}",
        )

    def channel(self, broker, queue=None, **arguments):
        self.connections.append(pika.BlockingConnection(pika.URLParameters(broker.url)))
        channel = self.connections[-1].channel()
        channel.confirm_delivery()
        if queue is not None:
            channel.queue_declare(queue, durable=True, arguments=arguments or None)
        return channel

    def publish(self, count=1, **arguments):
        channel = self.channel(self.near, "out", **arguments)
        for number in range(count):
            channel.basic_publish("", "out", b"%d" % number, pika.BasicProperties(delivery_mode=2))

    def messages(self, broker, queue, vhost="/"):
        """Return the number of messages, including unacknowledged ones; None if the queue does not exist."""

        def look(instance):
            found = instance.broker.vhosts[vhost].queues.get(queue)
            return None if found is None else found.info().messages

        return broker._call(look)

    def until_count(self, broker, queue, count, vhost="/"):
        there = self.messages
        eventually(lambda: there(broker, queue, vhost) == count, lambda: f"{there(broker, queue, vhost)}, not {count}")


def eventually(look, told):
    end = time.monotonic() + 60
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(told())
        time.sleep(0.005)


@pytest.fixture
def site():
    with Broker() as near, Broker() as far, Site(near, far) as site:
        yield site


def test_messages_are_moved_until_the_shovel_is_deleted(site):
    site.set()
    status = site.until("running")
    assert status.ends == {
        "src_uri": "amqp://",
        "src_protocol": "amqp091",
        "dest_protocol": "amqp091",
        "dest_uri": f"amqp://127.0.0.1:{site.far.port}/",
        "src_queue": "out",
        "dest_queue": "in",
    }
    site.publish(100)
    site.until_count(site.far, "in", 100)
    site.until_count(site.near, "out", 0)
    site.delete()
    assert site.statuses() == []
    eventually(
        lambda: not site.far._call(lambda instance: list(instance.broker.sessions)), lambda: "it is still connected"
    )


def test_shovel_moves_messages_from_an_exchange_to_an_exchange(site):
    channel = site.channel(site.far)
    channel.queue_declare("there")
    channel.queue_bind("there", "amq.fanout")
    keys = {"src_queue": None, "src_exchange": "amq.topic", "src_exchange_key": "a.#"}
    site.set(**keys, dest_queue=None, dest_exchange="amq.fanout", dest_add_forward_headers=True)
    site.until("running")
    site.channel(site.near).basic_publish("amq.topic", "a.b", b"x")
    site.until_count(site.far, "there", 1)
    method, properties, body = channel.basic_get("there", auto_ack=True)
    assert (method.exchange, method.routing_key, body) == ("amq.fanout", "a.b", b"x")
    assert properties.headers["x-shovelled"][0]["src-exchange-key"] == "a.#"


def test_shovel_between_vhosts_keeps_the_routing_key(site):
    site.near.add_vhost("other")
    site.near._call(lambda instance: instance.broker.vhosts["other"].declare_queue("out", True, False, False, {}))
    site.set(src_uri=site.near.url, dest_uri="amqp:///other", dest_queue=None)
    site.publish(1)
    site.until_count(site.near, "out", 1, "other")


def test_job_stays_with_its_user_if_a_shovel_of_another_user_moves_it():
    with Broker(users={"bob": "b"}) as near, Site(near, near) as site:
        site.channel(near, "in")
        site.channel(near, "out")
        job = pika.BasicProperties(message_id="1", delivery_mode=2, headers={"x-job": True})
        with pika.BlockingConnection(pika.URLParameters(near.url_of(user="bob"))) as connection:
            connection.channel().basic_publish("", "out", b"work", job)
        site.set()
        site.until_count(near, "in", 1)
        site.until_count(near, "out", 0)
        state = near.job("1")  # there is only one
        assert (state.user, state.state, state.queue) == ("bob", "queued", "in")
        channel = site.channel(near)
        method, properties, _ = channel.basic_get("in")
        channel.basic_publish("", properties.reply_to, b"result")
        channel.basic_ack(method.delivery_tag)
        channel.queue_declare("in", passive=True)
        assert (near.job("1").state, near.job("1").reply) == ("done", b"result")


def test_shovel_waits_for_the_other_broker(site):
    port = site.far.port
    site.far.stop()
    site.set()
    site.until("terminated")
    site.publish(3)
    with Broker(port=port) as far:
        site.until("running")
        site.until_count(far, "in", 3)


def test_refused_messages_stay_until_the_destination_accepts_them(site, monkeypatch):
    monkeypatch.setattr("amqpbroker.shovel.work.RETRY_MS", 20)
    channel = site.channel(site.far, "in", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    site.set()
    site.publish(3)
    site.until("blocked")
    site.until_count(site.near, "out", 2)
    site.until_count(site.far, "in", 1)
    taken = [body for _, _, body in islice(channel.consume("in", auto_ack=True), 3)]
    assert taken == [b"0", b"1", b"2"]
    site.until_count(site.near, "out", 0)
    site.until("running")


def test_shovel_is_blocked_by_a_memory_alarm_of_the_destination(site):
    site.set()
    site.until("running")
    site.far._call(lambda instance: instance.broker.alarms.set("memory"))
    site.publish(3)
    site.until("blocked")
    site.far._call(lambda instance: instance.broker.alarms.clear("memory"))
    site.until_count(site.far, "in", 3)
    site.until("running")


@pytest.mark.parametrize("ack_mode", ["on-confirm", "on-publish", "no-ack"])
def test_shovel_is_deleted_after_a_number_of_messages(site, ack_mode):
    site.publish(10)
    site.set(ack_mode=ack_mode, src_delete_after="queue-length" if ack_mode == "no-ack" else 7)
    eventually(lambda: site.statuses() == [], lambda: f"{site.statuses()}")
    assert site.near._call(lambda instance: instance.broker.parameters.list("shovel")) == []
    site.until_count(site.far, "in", 10 if ack_mode == "no-ack" else 7)
    site.until_count(site.near, "out", 0 if ack_mode == "no-ack" else 3)


def test_finished_shovel_is_terminated_if_its_definition_cannot_be_deleted(site):
    delete = Mock(side_effect=not_stored("disk full"))
    site.near._call(lambda instance: setattr(instance.broker.shovels, "delete", delete))
    site.publish(3)
    site.set(src_delete_after=3)
    site.until("terminated", "all messages that it was defined for are transferred")
    site.until_count(site.far, "in", 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dest_uri": "amqp://guest:wr0ng@127.0.0.1:{port}"}, "ACCESS_REFUSED"),
        ({"dest_uri": "amqp://guest:guest@127.0.0.1:{port}/nix"}, "vhost nix not found"),
        ({"dest_uri": "amqp://guest:guest@127.0.0.1:{port}?auth_mechanism=external"}, "EXTERNAL"),
        ({"dest_uri": "amqp://guest:guest@127.0.0.1:1"}, "refused"),
        ({"dest_uri": "amqps://guest:guest@127.0.0.1:{port}?verify=verify_none"}, "ssl"),
        ({"dest_uri": "amqps://localhost:{port}?cacertfile=/nix.pem"}, "/nix.pem: No such file"),
        ({"dest_uri": "amqp://" + "a" * 300}, "label"),
        ({"dest_uri": "amqp://127.0.0.1:{port}?connection_timeout=0"}, "no answer within 0 ms"),
        ({"src_uri": "amqp://nobody@/"}, "no user 'nobody'"),
        ({"src_uri": "amqp://guest:wr0ng@/"}, "wrong password"),
        ({"src_predeclared": True}, "no queue 'out'"),
        ({"dest_predeclared": True}, "no queue 'in'"),
        ({"src_queue": None, "src_exchange": "nix"}, "no exchange 'nix'"),
    ],
)
def test_status_has_the_reason_of_a_stopped_shovel(site, caplog, changes, reason):
    changes = {
        key: value.format(port=site.far.port) if isinstance(value, str) else value for key, value in changes.items()
    }
    site.set(**changes)
    status = site.until("terminated", reason)
    assert "wr0ng" not in caplog.text + str(status)


def test_shovel_connects_over_tls(tmp_path):
    authority, other = Authority(tmp_path), Authority(tmp_path, "another authority")
    files = authority.issue("server")
    client = authority.issue("ann", password=b"s3cret")
    settings = {
        "listeners.ssl.default": 0,
        "ssl_options.cacertfile": authority.cafile,
        "ssl_options.certfile": files.certfile,
        "ssl_options.keyfile": files.keyfile,
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": True,
        "ssl_cert_login_from": "common_name",
        "auth_mechanisms.1": "EXTERNAL",
    }
    with Broker() as near, Broker(users={"ann": ""}, **settings) as far, Site(near, far) as site:
        port = far._address("amqp/ssl")[1]
        own = f"certfile={client.certfile}&keyfile={client.keyfile}&password=s3cret&auth_mechanism=external"
        site.set(dest_uri=f"amqps://localhost:{port}?cacertfile={other.cafile}&{own}")
        site.until("terminated", "certificate")
        site.set(dest_uri=f"amqps://localhost:{port}?cacertfile={authority.cafile}&{own}&server_name_indication=nix")
        site.until("terminated", "nix")
        site.set(dest_uri=f"amqps://localhost:{port}?cacertfile={authority.cafile}&{own}")
        status = site.until("running")
        assert status.ends["dest_uri"] == f"amqps://localhost:{port}"
        site.publish(3)
        site.until_count(far, "in", 3)


def test_redefined_shovel_runs_once(site):
    for number in range(30):
        site.set(src_prefetch_count=number + 1)
    site.publish(5)
    site.until_count(site.far, "in", 5)

    def there():
        consumers = site.near._call(lambda instance: instance.broker.vhosts["/"].queues["out"].consumer_count)
        return [consumers, site.far._call(lambda instance: len(instance.broker.sessions))]

    eventually(lambda: there() == [1, 1], lambda: f"{there()} consumers and connections")


def test_redefinition_during_a_transfer_duplicates_nothing(site, monkeypatch):
    # Unconfirmed messages would be published again.
    monkeypatch.setattr("amqpbroker.shovel.work.DRAIN_S", 60)
    monkeypatch.setattr("amqpbroker.client.link.CLOSE_S", 60)
    site.publish(600)
    for number in range(5):
        site.set(src_prefetch_count=10 + number)
        eventually(lambda: (site.messages(site.far, "in") or 0) > 100 * number, lambda: "it does not go on")  # noqa: B023
    site.until_count(site.near, "out", 0)
    channel = site.channel(site.far)
    bodies = [int(body) for _, _, body in islice(channel.consume("in", auto_ack=True), 600)]
    assert bodies == list(range(600))
    assert site.messages(site.far, "in") == 0


def test_shovel_tries_another_uri_after_a_failure(site):
    site.set(dest_uri=["amqp://127.0.0.1:1", site.far_url, "amqp://127.0.0.1:2"])
    site.until("running")


def test_missing_exchange_loses_no_message(site):
    site.publish(1)
    site.set(dest_queue=None, dest_exchange="nix")
    site.until("terminated", "no exchange 'nix'")
    channel = site.channel(site.far, "in")
    channel.exchange_declare("bound", "fanout")
    channel.queue_bind("in", "bound")
    # The new exchange routes from the start: the shovel may connect again before a binding is added.
    channel.exchange_declare("nix", "fanout", arguments={"alternate-exchange": "bound"})
    site.until_count(site.far, "in", 1)


def test_deleted_queue_is_declared_again(site, caplog):
    site.set()
    site.until("running")
    site.channel(site.near).queue_delete("out")
    eventually(lambda: "the broker cancelled the consumer" in caplog.text, lambda: caplog.text)
    site.until("running")
    site.publish(1)
    site.until_count(site.far, "in", 1)


def test_shovel_is_deleted_with_its_vhost(site):
    site.near.add_vhost("v")
    value = {"src-uri": "amqp:///v", "src-queue": "out", "dest-uri": site.far.url, "dest-queue": "in"}
    site.near._call(lambda instance: instance.broker.parameters.put("shovel", "v", "s", value))
    site.until("running")
    site.near.delete_vhost("v")
    assert site.statuses() == []
    assert site.near._call(lambda instance: instance.broker.parameters.list("shovel")) == []


def test_shovel_can_be_redefined_while_it_runs(site):
    site.publish(5)
    site.set()
    site.until_count(site.far, "in", 5)
    site.set(dest_queue="other")
    site.publish(2)
    site.until_count(site.far, "other", 2)
    assert site.messages(site.far, "in") == 5


def test_shovel_deleted_while_it_connects_leaves_no_connection(site):
    """Delete the shovel after any number of event loop iterations."""

    async def begin_and_delete(turns):
        site.near._instance.broker.parameters.put("shovel", "/", "s", {**BOTH_WITHIN, "dest-queue": "in"})
        for _ in range(turns):
            await asyncio.sleep(0)
        site.near._instance.broker.parameters.delete("shovel", "/", "s")

    for turns in range(40):
        site.near._host.run(begin_and_delete(turns))
    end = time.monotonic() + 8  # shorter than the timeout of a handshake
    while there := site.near._call(lambda instance: instance.server.clients.there()):
        assert time.monotonic() < end, there
        time.sleep(0.005)


BOTH_WITHIN = {"src-uri": "amqp://", "src-queue": "out", "dest-uri": "amqp://"}

"""Descriptions of a connection, its channels and consumers, as in RabbitMQ 4.0.5's management API."""

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker


def test_connection_info_has_all_values(broker: Broker, clock: ManualClock):
    wire = Wire(broker)
    wire.feed(b"AMQP\0\0\x09\x01")
    properties = {"connection_name": longstr("mine"), "product": longstr("p")}
    wire.send(0, "connection.start-ok", client_properties=properties, mechanism="PLAIN", response="\0guest\0guest")
    wire.send(0, "connection.tune-ok", channel_max=100, frame_max=8192, heartbeat=60)
    wire.send(0, "connection.open", virtual_host="/")
    wire.send(5, "channel.open")
    wire.turn()
    connected_at = clock.now_ms()
    clock.advance(10)
    info = wire.connection.info()
    assert info.recv_cnt == 5
    assert info.send_cnt > 0
    found = {name: value for name, value in info._asdict().items() if not name.startswith(("recv_", "send_"))}
    assert found.pop("client_properties").keys() == {"connection_name", "product"}
    assert found == {
        "name": "127.0.0.1:40000 -> 127.0.0.1:5672",
        "user_provided_name": "mine",
        "user": "guest",
        "user_who_performed_action": "guest",
        "vhost": "/",
        "host": "127.0.0.1",
        "port": 5672,
        "peer_host": "127.0.0.1",
        "peer_port": 40000,
        "state": "running",
        "channels": 1,
        "auth_mechanism": "PLAIN",
        "connected_at": connected_at,
        "channel_max": 100,
        "frame_max": 8192,
        "timeout": 60,
        "ssl": False,
        "ssl_protocol": None,
        "ssl_key_exchange": None,
        "ssl_cipher": None,
        "ssl_hash": None,
        "peer_cert_subject": None,
        "peer_cert_issuer": None,
        "peer_cert_validity": None,
        "protocol": "AMQP 0-9-1",
        "type": "network",
    }


def test_output_that_waits_for_the_socket_is_shown(client: Wire):
    assert client.connection.info().send_pend == 0
    client.connection.set_writable(False)
    client.send(1, "basic.qos")
    client.turn()
    assert client.connection.info().send_pend == 12


def test_connection_info_shows_each_state(broker: Broker, client: Wire):
    connection = client.connection
    assert (connection.info().user_provided_name, connection.info().state) == (None, "running")
    broker.alarms.set("memory")
    assert connection.info().state == "blocking"
    client.publish("nowhere")
    assert connection.info().state == "blocked"
    broker.alarms.clear("memory")
    assert connection.info().state == "running"
    connection.shutdown()
    assert connection.info().state == "closing"


def test_channel_infos_are_ordered_by_channel_number(client: Wire):
    for number in (7, 3):
        client.call(number, "channel.open")
    infos = client.connection.channel_infos()
    assert [info.number for info in infos] == [1, 3, 7]
    assert infos[2].name == "127.0.0.1:40000 -> 127.0.0.1:5672 (7)"


def test_channel_info_shows_its_prefetch_and_counts(client: Wire):
    client.declare("q")
    for _ in range(5):
        client.publish("q")
    client.call(1, "basic.qos", prefetch_count=2)
    client.consume("q")
    client.get("q", no_ack=False)
    client.call(1, "basic.qos", prefetch_count=9, global_=True)
    client.call(1, "confirm.select")
    client.receive()
    (info,) = client.connection.channel_infos()
    assert (info.state, info.user, info.vhost, info.idle_since) == ("running", "guest", "/", None)
    assert (info.consumer_count, info.prefetch_count, info.global_prefetch_count) == (1, 2, 9)
    assert (info.messages_unacknowledged, info.messages_unconfirmed) == (3, 0)
    assert (info.confirm, info.transactional) == (True, False)
    client.publish("q")
    (info,) = client.connection.channel_infos()
    assert info.messages_unconfirmed == 1


def test_consumers(client: Wire):
    client.declare("q", arguments={"x-single-active-consumer": Field("t", True)})
    client.call(1, "basic.qos", prefetch_count=7)
    client.consume("q", "first", arguments={"x-priority": Field("I", 3)})
    client.call(1, "basic.qos", prefetch_count=8)
    client.consume("q", "second", no_ack=True)
    first, second = client.connection.consumer_infos()
    assert first == client.broker.vhost("/").queues["q"].consumer_infos()[0]
    assert first._asdict() == {
        "queue": "q",
        "vhost": "/",
        "consumer_tag": "first",
        "ack_required": True,
        "exclusive": False,
        "prefetch_count": 7,
        "active": True,
        "activity_status": "single_active",
        "arguments": {"x-priority": Field("I", 3)},
        "consumer_timeout": 1_800_000,
        "connection_name": "127.0.0.1:40000 -> 127.0.0.1:5672",
        "channel_name": "127.0.0.1:40000 -> 127.0.0.1:5672 (1)",
        "channel_number": 1,
        "peer_host": "127.0.0.1",
        "peer_port": 40000,
        "user": "guest",
        "user_provided_name": None,
        "consumer_timeout_action": None,
    }
    assert (second.ack_required, second.prefetch_count) == (False, 8)
    assert (second.active, second.activity_status) == (False, "waiting")


def test_consumer_info_shows_the_timeout_of_its_queue():
    broker = make_broker(consumer_timeout_ms=1000)
    wire = Wire(broker).log_in()
    wire.declare("q", arguments={"x-consumer-timeout": Field("I", 70_000)})
    wire.declare("p")
    for queue in ("q", "p"):
        wire.consume(queue, queue)
    assert [info.consumer_timeout for info in wire.connection.consumer_infos()] == [70_000, 1000]

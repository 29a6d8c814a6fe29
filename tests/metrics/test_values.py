import importlib.metadata
import math
import platform

import pytest

from amqpbroker import __version__
from amqpbroker.config import Config
from amqpbroker.wire.values import Field
from tests.broker.queueing import publish
from tests.broker.redrive.driving import kill, started, work_with_dlq
from tests.management.cluster import add_cluster, member
from tests.metrics.scrape import Scraper

STREAM = {"x-queue-type": Field("S", b"stream")}


def busy(scraper, vhost="/"):
    """Create one object of each kind, and a queue for each."""
    wire = scraper.wire(vhost)
    wire.call(1, "confirm.select")
    for queue in ("waits", "taken", "got", "short"):
        arguments = {"x-max-length": 1} if queue == "short" else {}
        wire.declare(queue, arguments=table(arguments))
    for queue in ("waits", "waits", "taken", "taken", "got", "got", "got", "short", "short"):
        wire.publish(queue, b"body", timestamp=1_700_000_000)
    wire.publish("nowhere", b"dropped")
    wire.publish("nowhere", b"returned", mandatory=True)
    wire.receive()
    wire.send(1, "basic.qos", prefetch_count=1)
    wire.receive()
    delivered = wire.consume("taken")
    wire.send(1, "basic.ack", delivery_tag=delivered[0].arguments["delivery_tag"])
    wire.receive()
    wire.get("got", no_ack=True)
    tag = wire.get("got", no_ack=False).arguments["delivery_tag"]
    wire.send(1, "basic.reject", delivery_tag=tag, requeue=True)
    wire.get("got", no_ack=False)
    wire.get("got", no_ack=True)
    wire.get("got")
    return wire


def table(values):
    return {name: Field("I", value) for name, value in values.items()}


async def test_aggregated_metrics_have_the_totals_of_the_broker():
    scraper = Scraper()
    busy(scraper)
    samples = await scraper.samples()
    expected = {
        "rabbitmq_connections": 1,
        "rabbitmq_channels": 1,
        "rabbitmq_consumers": 1,
        "rabbitmq_queues": 4,
        "rabbitmq_queue_messages": 5,
        "rabbitmq_queue_messages_ready": 3,
        "rabbitmq_queue_messages_unacked": 2,
        "rabbitmq_queue_messages_bytes": 20,
        "rabbitmq_channel_messages_published_total": 11,
        "rabbitmq_channel_messages_confirmed_total": 11,
        "rabbitmq_channel_messages_unroutable_dropped_total": 1,
        "rabbitmq_channel_messages_unroutable_returned_total": 1,
        "rabbitmq_channel_messages_delivered_ack_total": 2,
        "rabbitmq_channel_messages_delivered_total": 0,
        "rabbitmq_channel_messages_acked_total": 1,
        "rabbitmq_channel_messages_redelivered_total": 1,
        "rabbitmq_channel_get_total": 2,
        "rabbitmq_channel_get_ack_total": 2,
        "rabbitmq_channel_get_empty_total": 1,
        "rabbitmq_queue_messages_published_total": 9,
        "rabbitmq_queue_messages_delivered_ack_total": 2,
        "rabbitmq_queues_declared_total": 4,
        "rabbitmq_queues_created_total": 4,
    }
    assert {name: samples[(name,)] for name in expected} == expected
    assert ("rabbitmq_queue_head_message_timestamp",) not in samples


async def test_global_counters_have_values_per_protocol_and_queue_type():
    scraper = Scraper()
    busy(scraper)
    samples = await scraper.samples()

    def of(name, *labels):
        return samples[(f"rabbitmq_global_{name}", *labels)]

    assert of("messages_received_total", "amqp091") == 11
    assert of("messages_received_confirm_total", "amqp091") == 11
    assert of("messages_routed_total", "amqp091") == 9
    assert of("publishers", "amqp091") == 1
    assert of("consumers", "amqp091") == 1
    assert of("messages_delivered_total", "amqp091", "rabbit_classic_queue") == 6
    assert of("messages_delivered_total", "amqp091", "rabbit_quorum_queue") == 0
    assert of("messages_dead_lettered_maxlen_total", "disabled", "rabbit_classic_queue") == 1


async def test_per_object_metrics_have_the_values_of_each_object():
    scraper = Scraper()
    busy(scraper)
    samples = await scraper.samples("/metrics/per-object")
    assert samples["rabbitmq_queue_messages", "waits", "/"] == 2
    assert samples["rabbitmq_queue_messages", "short", "/"] == 1
    assert samples["rabbitmq_queue_consumers", "taken", "/"] == 1
    assert samples["rabbitmq_queue_get_empty_total", "got", "/"] == 1
    assert samples["rabbitmq_queue_head_message_timestamp", "waits", "/"] == 1_700_000_000
    assert math.isnan(samples["rabbitmq_queue_head_message_timestamp", "got", "/"])
    assert samples["rabbitmq_queue_messages_published_total", "got", "/"] == 3
    assert samples["rabbitmq_exchange_messages_published_total", "", "/"] == 11
    channel, connection = "127.0.0.1:40000 -> 127.0.0.1:5672 (1)", "127.0.0.1:40000 -> 127.0.0.1:5672"
    assert samples["rabbitmq_channel_messages_published_total", channel, "/"] == 11
    assert samples["rabbitmq_channel_consumers", channel] == 1
    assert samples["rabbitmq_consumer_prefetch", channel] == 1
    assert samples["rabbitmq_connection_channels", connection] == 1
    assert samples["rabbitmq_connection_incoming_bytes_total", connection] > 500
    assert samples["rabbitmq_connection_incoming_packets_total", connection] > 10


async def test_the_node():
    scraper = Scraper()
    scraper.clock.advance(2_500)
    samples = await scraper.samples()
    expected = {
        "rabbitmq_process_open_fds": 10,
        "rabbitmq_process_max_fds": 1024,
        "rabbitmq_process_resident_memory_bytes": 600,
        "rabbitmq_resident_memory_limit_bytes": 1_000,
        "rabbitmq_disk_space_available_bytes": 80_000_000,
        "rabbitmq_disk_space_available_limit_bytes": 50_000_000,
        "rabbitmq_erlang_uptime_seconds": 1_002.5,
        "process_start_time_seconds": 0,
        "rabbitmq_unreachable_cluster_peers_count": 0,
    }
    assert {name: samples[(name,)] for name in expected} == expected


async def test_no_disk_space_without_a_data_directory():
    scraper = Scraper()
    scraper.node.disk_free_bytes = lambda: None
    assert ("rabbitmq_disk_space_available_bytes",) not in await scraper.samples()


@pytest.mark.parametrize(
    ("resource", "name"), [("memory", "memory_used_watermark"), ("disk", "free_disk_space_watermark")]
)
async def test_alarms(resource, name):
    scraper = Scraper()
    assert (await scraper.samples())[(f"rabbitmq_alarms_{name}",)] == 0
    scraper.broker.alarms.set(resource)
    samples = await scraper.samples()
    assert samples[(f"rabbitmq_alarms_{name}",)] == 1
    assert sum(value for (each, *_), value in samples.items() if each.startswith("rabbitmq_alarms_")) == 1
    scraper.broker.alarms.clear(resource)
    assert (await scraper.samples())[(f"rabbitmq_alarms_{name}",)] == 0


async def test_logins():
    scraper = Scraper()
    scraper.broker.totals.auth_attempts.count("http", succeeded=False)
    scraper.wire()
    samples = await scraper.samples()
    assert samples["rabbitmq_auth_attempts_total", "amqp091"] == 1
    assert samples["rabbitmq_auth_attempts_succeeded_total", "amqp091"] == 1
    assert samples["rabbitmq_auth_attempts_failed_total", "http"] == 1


async def test_build_info_names_the_product_and_versions():
    """Check that RabbitMQ 4.0.5 names the product first, and only if it is another product."""
    client = importlib.metadata.version("prometheus-client")
    rest = f'rabbitmq_version="4.0.5",prometheus_plugin_version="4.0.5",prometheus_client_version="{client}"'
    text = (await Scraper().get()).text
    assert f'rabbitmq_build_info{{{rest},erlang_version="27.3.4.1"}} 1' in text
    text = (await Scraper(Config(product_name="Acme", product_version="7.1")).get()).text
    product = 'product_name="Acme",product_version="7.1"'
    assert f'rabbitmq_build_info{{{product},{rest},erlang_version="27.3.4.1"}} 1' in text
    text = (await Scraper(Config(product_identity="amqpbroker")).get()).text
    product = f'product_name="amqpbroker",product_version="{__version__}"'
    assert f'rabbitmq_build_info{{{product},{rest},erlang_version="{platform.python_version()}"}} 1' in text


async def test_identity_info_names_the_node_and_cluster():
    scraper = Scraper()
    text = (await scraper.get()).text
    assert 'rabbitmq_build_info{rabbitmq_version="4.0.5",prometheus_plugin_version="4.0.5",' in text
    identity = 'rabbitmq_identity_info{rabbitmq_node="rabbit@test",rabbitmq_cluster="'
    assert identity + f'{scraper.broker.cluster_name}",rabbitmq_cluster_permanent_id="rabbitmq-cluster-id-' in text
    scraper.broker.global_parameters.put("cluster_name", "house")
    scraper.broker.global_parameters.put("internal_cluster_id", "rabbitmq-cluster-id-x")
    text = (await scraper.get()).text
    assert f'{identity}house",rabbitmq_cluster_permanent_id="rabbitmq-cluster-id-x"}}' in text


async def test_memory_values_add_up():
    scraper = Scraper()
    scraper.node.memory_bytes = lambda: 100_000_000
    scraper.wire().declare("q")
    scraper.wire().declare("s", durable=True, arguments=STREAM)
    samples = await scraper.samples("/metrics/memory-breakdown")
    parts = {name: value for (name, *_), value in samples.items() if name.startswith("rabbitmq_memory_")}
    assert sum(parts.values()) == 100_000_000
    assert 0 < parts["rabbitmq_memory_classic_queue_erlang_process_bytes"] < 100_000
    assert 0 < parts["rabbitmq_memory_stream_erlang_process_bytes"] < 100_000
    assert parts["rabbitmq_memory_quorum_queue_erlang_process_bytes"] == 0


def counters(samples):
    return {key: value for key, value in samples.items() if key[0].endswith("_total")}


async def test_counters_never_decrease():
    scraper = Scraper()
    scraper.broker.add_vhost("other")
    scraper.broker.users.set_permissions("guest", "other", ".*", ".*", ".*")
    wires = [busy(scraper), busy(scraper, "other")]
    before = counters(await scraper.samples())
    assert before[("rabbitmq_channel_messages_published_total",)] == 22
    steps = [
        lambda: wires[0].send(1, "queue.delete", queue="taken"),
        lambda: wires[0].send(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0),
        wires[0].connection.lost,
        lambda: scraper.broker.delete_vhost("other"),
        wires[1].connection.lost,
    ]
    for step in steps:
        step()
        after = counters(await scraper.samples())
        assert {key: value for key, value in before.items() if after.get(key, -1) < value} == {}
        before = after
    assert before[("rabbitmq_channel_messages_published_total",)] == 22
    assert before[("rabbitmq_channel_messages_acked_total",)] == 2
    assert before[("rabbitmq_connections_closed_total",)] == 2


async def test_object_deleted_during_a_snapshot_counts_once(monkeypatch):
    scraper = Scraper()
    busy(scraper)
    before = counters(await scraper.samples())
    vhost = scraper.broker.vhosts["/"]
    queues = list(vhost.queues.values())
    look, looks = type(queues[0]).info, []

    def info(queue):
        looks.append(queue)
        if queue is queues[1]:
            vhost.remove_queue(queues[0])
        return look(queue)

    monkeypatch.setattr(type(queues[0]), "info", info)
    after = counters(await scraper.samples())
    assert queues[0] in looks
    assert {key: value for key, value in before.items() if after.get(key, -1) < value} == {}
    published = ("rabbitmq_queue_messages_published_total",)
    assert after[published] == before[published]


async def test_dropped_duplicates_are_counted_if_anything_drops_duplicates():
    scraper = Scraper()
    name = "rabbitmq_queue_messages_deduplicated_total"
    assert (name,) not in await scraper.samples()
    wire = scraper.wire()
    on = {"x-message-deduplication": Field("t", True)}
    wire.declare("own", arguments=on)
    wire.call(1, "exchange.declare", exchange="once", exchange_type="fanout", arguments=on)
    wire.call(1, "queue.bind", queue="own", exchange="once", routing_key="")
    for _ in range(3):
        for exchange, id_ in (("", b"a"), ("once", b"b")):
            wire.publish("own", b"", exchange, headers={"x-deduplication-header": Field("S", id_)})
    wire.receive()
    samples = await scraper.samples()
    assert samples[name,] == samples["rabbitmq_exchange_messages_deduplicated_total",] == 2
    of_each = await scraper.samples("/metrics/per-object")
    assert of_each[name, "own", "/"] == of_each["rabbitmq_exchange_messages_deduplicated_total", "once", "/"] == 2
    wire.call(1, "queue.delete", queue="own")
    assert (name,) not in await scraper.samples()


async def test_delayed_messages_are_counted_if_a_queue_delays_messages():
    scraper = Scraper()
    name = "rabbitmq_queue_messages_delayed"
    wire = scraper.wire()
    wire.declare("plain")
    assert (name,) not in await scraper.samples()
    wire.declare("own", arguments={"x-delivery-time-header": Field("S", b"eta")})
    for due in 0, 2**50:
        wire.publish("own", b"", headers={"eta": Field("l", due)})
    wire.receive()
    assert (await scraper.samples())[name,] == 1
    samples = await scraper.samples("/metrics/per-object")
    assert samples[name, "own", "/"] == 1
    assert (name, "plain", "/") not in samples


async def test_stopped_message_groups_are_counted_if_a_queue_has_groups():
    scraper = Scraper()
    names = [f"rabbitmq_queue_{name}" for name in ("groups", "groups_parked", "groups_closed", "messages_parked")]
    assert (names[0],) not in await scraper.samples()
    wire = scraper.wire()
    wire.declare("g", arguments={"x-group-header": Field("S", b"key"), "x-group-on-dead": Field("S", b"park")})
    for key in b"a", b"a", b"b":
        wire.publish("g", b"", headers={"key": Field("S", key)})
    got = wire.get("g", no_ack=False)
    wire.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
    wire.receive()
    samples, of_each = await scraper.samples(), await scraper.samples("/metrics/per-object")
    assert [samples[name,] for name in names] == [2, 1, 0, 2]
    assert [of_each[name, "g", "/"] for name in names] == [2, 1, 0, 2]


async def test_replaced_messages_are_counted_if_messages_replace_others():
    scraper = Scraper()
    name = "rabbitmq_queue_messages_replaced_total"
    assert (name,) not in await scraper.samples()
    wire = scraper.wire()
    wire.declare("own", arguments={"x-last-value-key": Field("S", b"key")})
    for key in b"a", b"a", b"b", b"a":
        wire.publish("own", b"", headers={"key": Field("S", key)})
    wire.receive()
    assert (await scraper.samples())[name,] == 2
    assert (await scraper.samples("/metrics/per-object"))[name, "own", "/"] == 2


async def test_redriven_messages_are_counted_once_there_was_a_redrive():
    scraper = Scraper()
    moved, failed = "rabbitmq_redrive_messages_moved_total", "rabbitmq_redrive_messages_failed_total"
    running = "rabbitmq_redrives_running"
    assert (moved,) not in await scraper.samples()
    vhost = scraper.broker.vhosts["/"]
    work, dlq = work_with_dlq(vhost)
    kill(work, b"1", b"2")
    publish(dlq, b"not dead")
    started(dlq, max_per_second=1)
    vhost.clock.advance(0)
    samples = await scraper.samples()
    assert [samples[name,] for name in (moved, failed, running)] == [1, 0, 1]
    vhost.clock.advance(2000)
    samples = await scraper.samples()
    assert [samples[name,] for name in (moved, failed, running)] == [2, 1, 0]
    samples = await scraper.samples("/metrics/detailed?family=redrive_metrics")
    assert samples["rabbitmq_detailed_redrives_running",] == 0


async def test_open_jobs_are_counted_while_there_are_jobs():
    scraper = Scraper()
    assert ("rabbitmq_open_jobs",) not in await scraper.samples()
    wire = scraper.wire()
    wire.declare("q")
    for queue in "q", "nowhere":
        wire.publish(queue, b"", headers={"x-job": Field("t", True)}, message_id=queue.encode())
    wire.receive()
    assert (await scraper.samples())["rabbitmq_open_jobs",] == 1
    assert (await scraper.samples("/metrics/per-object"))["rabbitmq_open_jobs", "/"] == 1


async def test_open_batches_are_counted_while_there_are_batches():
    scraper = Scraper()
    assert ("rabbitmq_open_batches",) not in await scraper.samples()
    wire = scraper.wire()
    for size in 1, 0:
        headers = {"x-batch-id": Field("S", b"%d" % size), "x-batch-size": Field("l", size)}
        wire.publish("nowhere" if not size else "q", b"", headers=headers)
    wire.declare("q")
    wire.publish("q", b"", headers={"x-batch-id": Field("S", b"open"), "x-batch-size": Field("l", 2)})
    wire.receive()
    scraper.broker.clock.advance(0)
    assert (await scraper.samples())["rabbitmq_open_batches",] == 2
    assert (await scraper.samples("/metrics/per-object"))["rabbitmq_open_batches", "/"] == 2


async def test_streams_have_segments_messages_and_the_lag_of_their_consumers():
    scraper = Scraper()
    wire = scraper.wire()
    wire.declare("classic")
    for name in ("s", "idle"):
        wire.declare(name, durable=True, arguments=STREAM)
    for _ in range(5):
        wire.publish("s", b"body")
    wire.receive()
    assert ("rabbitmq_stream_consumer_max_offset_lag",) not in await scraper.samples()
    wire.call(1, "basic.qos", prefetch_count=1)
    for tag, offset in (("slow", 0), ("fast", 3)):
        assert wire.consume("s", tag, arguments={"x-stream-offset": Field("l", offset)})
    samples = await scraper.samples("/metrics/per-object")
    # RabbitMQ's name has no _total; prometheus-client's parser adds it.
    assert samples["rabbitmq_stream_segments_total", "s", "/"] == 1
    assert samples["rabbitmq_stream_segments_total", "idle", "/"] == 1
    assert ("rabbitmq_stream_segments_total", "classic", "/") not in samples
    assert samples["rabbitmq_stream_consumer_max_offset_lag", "s", "/"] == 4
    assert ("rabbitmq_stream_consumer_max_offset_lag", "idle", "/") not in samples
    assert samples["rabbitmq_queue_messages_ready", "s", "/"] == samples["rabbitmq_queue_messages", "s", "/"] == 5
    assert samples["rabbitmq_queue_consumers", "s", "/"] == 2
    assert samples["rabbitmq_queue_messages_delivered_ack_total", "s", "/"] == 2
    for name in ("queue_messages_bytes", "queue_messages_ram", "queue_consumer_capacity", "queue_messages_persistent"):
        assert (f"rabbitmq_{name}", "classic", "/") in samples
        assert (f"rabbitmq_{name}", "s", "/") not in samples, name
    totals = await scraper.samples()
    assert totals["rabbitmq_stream_segments_total",] == 2
    assert totals["rabbitmq_stream_consumer_max_offset_lag",] == 4
    assert totals["rabbitmq_global_messages_delivered_total", "amqp091", "rabbit_stream_queue"] == 2
    detailed = await scraper.samples("/metrics/detailed?family=stream_consumer_metrics")
    assert detailed["rabbitmq_detailed_stream_consumer_max_offset_lag", "s", "/"] == 4


async def test_a_database_has_metrics_of_its_standbys_and_of_the_vhosts_that_the_broker_shares():
    scraper = Scraper()
    names = ["rabbitmq_database_synchronous", "rabbitmq_led_vhosts", "rabbitmq_followed_vhosts_lag_seconds"]
    assert not set(names) & set(await scraper.families())
    cluster = add_cluster(scraper, member("rabbit@test"))
    scraper.broker.add_vhost("other")
    assert set(names) <= set(await scraper.families())
    samples = await scraper.samples()
    assert [samples.get((name,)) for name in names] == [1, 2, None]
    scraper.node.database.synchronous = False
    scraper.broker.delete_vhost("other")
    cluster.lag = 1.25
    for path in "/metrics", "/metrics/per-object":
        samples = await scraper.samples(path)
        assert [samples[name,] for name in names] == [0, 1, 1.25]
    samples = await scraper.samples("/metrics/detailed?family=database_metrics")
    assert samples["rabbitmq_detailed_led_vhosts",] == 1

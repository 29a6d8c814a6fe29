"""The commands against a real broker. Texts, columns and exit statuses are those of RabbitMQ 4.0.5."""

import json
import re
import subprocess
import sys
import threading
import time

import pika
import pytest

from amqpbroker import __version__
from amqpbroker.cli.ctl.run import run
from tests.process import ENVIRONMENT, BrokerProcess


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def url(broker):
    return f"http://guest:guest@127.0.0.1:{json.loads(broker.ready_file.read_text())['http'][0][1]}"


@pytest.fixture
def ctl(url, capsys):
    """Return a function that runs a command, checks its exit status, and returns its output."""

    def call(*words, status=0):
        capsys.readouterr()
        found = run(["--url", url, *words])
        out, err = capsys.readouterr()
        assert found == status, out + err
        return err if status else out

    return call


@pytest.fixture
def vhost(ctl):
    ctl("add_vhost", "v")
    yield "v"
    ctl("delete_vhost", "v")


@pytest.fixture
def user(ctl):
    ctl("add_user", "u", "secret")
    yield "u"
    ctl("delete_user", "u")


@pytest.fixture
def channel(broker):
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        yield connection.channel()


def lines(text):
    return text.rstrip("\n").split("\n")


# --- users and permissions --------------------------------------------------------------------------------------------


def test_a_user_is_added_and_deleted(ctl):
    assert lines(ctl("add_user", "u", "secret"))[0] == 'Adding user "u" ...'
    assert ctl("add_user", "u", "x", status=70) == 'Error:\nUser "u" already exists\n'
    ctl("set_user_tags", "u", "management", "policymaker")
    assert "u\t[management, policymaker]" in lines(ctl("-q", "list_users"))
    assert {"user": "u", "tags": ["management", "policymaker"]} in json.loads(ctl("list_users", "--formatter", "json"))
    ctl("set_user_tags", "u")
    assert "u\t[]" in lines(ctl("-q", "list_users"))
    ctl("delete_user", "u")
    assert "u\t[]" not in lines(ctl("-q", "list_users"))
    ctl("delete_user", "u")


def test_ctl_verifies_changes_and_clears_passwords(ctl, user):
    assert lines(ctl("authenticate_user", user, "secret"))[-1] == "Success"
    assert "user 'u' - invalid credentials" in ctl("authenticate_user", user, "wrong", status=65)
    ctl("set_user_tags", user, "monitoring")
    ctl("change_password", user, "new")
    ctl("authenticate_user", user, "new")
    ctl("authenticate_user", user, "secret", status=65)
    assert "u\t[monitoring]" in lines(ctl("-q", "list_users")), "the tags stay"
    ctl("clear_password", user)
    ctl("authenticate_user", user, "new", status=65)


def test_a_hashed_password_works_in_the_broker(ctl):
    made = ctl("hash_password", "abc").strip()
    ctl("add_user", "hashed", made, "--pre-hashed-password")
    ctl("authenticate_user", "hashed", "abc")
    ctl("delete_user", "hashed")


def test_ctl_sets_lists_and_clears_permissions(ctl, user, vhost):
    ctl("set_permissions", "-p", vhost, user, ".*", "", "x")
    assert "u\t.*\t\tx" in lines(ctl("list_permissions", "-p", vhost))
    assert lines(ctl("-q", "list_user_permissions", user)) == ["vhost\tconfigure\twrite\tread", "v\t.*\t\tx"]
    ctl("clear_permissions", "-p", vhost, user)
    assert ctl("-q", "list_user_permissions", user) == ""
    assert ctl("set_permissions", "-p", "nope", user, "", "", "", status=69) == (
        "Error:\nVirtual host nope does not exist\n"
    )
    assert ctl("set_permissions", "nobody", "", "", "", status=67) == "Error:\nUser nobody does not exist\n"
    ctl("set_permissions_globally", user, "a", "b", "c")
    assert {"/\ta\tb\tc", "v\ta\tb\tc"} <= set(lines(ctl("list_user_permissions", user)))


def test_topic_permissions(ctl, user, vhost):
    ctl("set_topic_permissions", "-p", vhost, user, "amq.topic", "^a", "^b")
    assert "u\tamq.topic\t^a\t^b" in lines(ctl("list_topic_permissions", "-p", vhost))
    assert "v\tamq.topic\t^a\t^b" in lines(ctl("list_user_topic_permissions", user))
    ctl("clear_topic_permissions", "-p", vhost, user, "amq.topic")
    assert ctl("-q", "list_topic_permissions", "-p", vhost) == ""


def test_ctl_sets_lists_and_clears_user_limits(ctl, user):
    ctl("set_user_limits", user, '{"max-connections": 10, "max-channels": 20}')
    assert json.loads(ctl("-q", "list_user_limits", "--user", user)) == {"max-connections": 10, "max-channels": 20}
    ctl("clear_user_limits", user, "max-connections")
    assert json.loads(ctl("-q", "list_user_limits", "--user", user)) == {"max-channels": 20}
    ctl("clear_user_limits", user, "all")
    assert ctl("-q", "list_user_limits", "--user", user) == "{}\n"
    assert "Could not parse JSON document: 5" in ctl("set_user_limits", user, "5", status=69)


# --- vhosts, policies, parameters -------------------------------------------------------------------------------------


def test_ctl_sets_and_lists_vhost_metadata(ctl):
    ctl("add_vhost", "meta", "--description", "my vhost", "--tags", "a,b", "--default-queue-type", "quorum")
    columns = ("name", "description", "tags", "default_queue_type")
    assert [line for line in lines(ctl("list_vhosts", *columns)) if line.startswith("meta")] == [
        "meta\tmy vhost\t[a, b]\tquorum"
    ]
    ctl("set_vhost_tags", "meta", "x")
    ctl("update_vhost_metadata", "meta", "--description", "other")
    assert "meta\tother\t[x]\tquorum" in lines(ctl("list_vhosts", *columns))
    ctl("delete_vhost", "meta")
    assert ctl("delete_vhost", "meta", status=65) == "Error:\nVirtual host 'meta' does not exist\n"
    assert "Info key(s) nope are not supported" in ctl("list_vhosts", "nope", status=64)


def test_ctl_switches_tracing_on_and_off(ctl, vhost):
    ctl("update_vhost_metadata", vhost, "--description", "kept")
    assert (
        ctl("trace_on", "-p", vhost) == f'Starting tracing for vhost "{vhost}" ...\nTrace enabled for vhost {vhost}\n'
    )
    assert f"{vhost}\ttrue\tkept" in lines(ctl("list_vhosts", "name", "tracing", "description"))
    ctl("trace_off", "-p", vhost)
    assert f"{vhost}\tfalse" in lines(ctl("list_vhosts", "name", "tracing"))
    assert ctl("trace_on", "-p", "nope", status=65) == "Error:\nVirtual host 'nope' does not exist\n"


def test_ctl_sets_lists_and_clears_vhost_limits(ctl, vhost):
    ctl("set_vhost_limits", "-p", vhost, '{"max-queues": 10}')
    assert json.loads(ctl("-q", "list_vhost_limits", "-p", vhost)) == {"max-queues": 10}
    ctl("clear_vhost_limits", "-p", vhost)
    assert ctl("-q", "list_vhost_limits", "-p", vhost) == ""


@pytest.mark.parametrize(("one", "many"), [("policy", "policies"), ("operator_policy", "operator_policies")])
def test_policies(ctl, vhost, one, many):
    ctl(f"set_{one}", "-p", vhost, "pol", "^x", '{"max-length": 5}', "--priority", "3", "--apply-to", "queues")
    assert 'v\tpol\t^x\tqueues\t{"max-length":5}\t3' in lines(ctl(f"list_{many}", "-p", vhost))
    ctl(f"clear_{one}", "-p", vhost, "pol")
    assert ctl(f"clear_{one}", "-p", vhost, "pol", status=69) == "Error:\nParameter does not exist\n"
    assert "Could not parse JSON document: bad" in ctl(f"set_{one}", "-p", vhost, "pol", "^x", "bad", status=69)
    assert "are not recognised" in ctl(f"set_{one}", "-p", vhost, "pol", "^x", '{"max-lengt": 5}', status=69)


def test_shovels(ctl, broker):
    value = {"src-uri": "amqp://", "src-queue": "nix", "dest-uri": broker.url, "src-predeclared": True}
    ctl("set_parameter", "shovel", "s", json.dumps(value))
    found = json.loads(ctl("shovel_status", "--formatter", "json"))
    assert [(each["name"], each["vhost"], each["type"]) for each in found] == [("s", "/", "dynamic")]
    assert found[0]["state"] in ("starting", "terminated")
    ctl("restart_shovel", "s")
    assert "not found" in ctl("restart_shovel", "nix", status=69)
    ctl("delete_shovel", "s")
    assert "not found" in ctl("delete_shovel", "s", status=69)
    assert json.loads(ctl("list_parameters", "--formatter", "json")) == []


def test_parameters(ctl):
    ctl("set_global_parameter", "g", '{"a": 1}')
    assert 'g\t{"a":1}' in lines(ctl("list_global_parameters"))
    ctl("clear_global_parameter", "g")
    assert ctl("clear_global_parameter", "g", status=69) == "Error:\nParameter does not exist\n"
    assert "component nope not found" in ctl("set_parameter", "nope", "x", "1", status=69)


# --- what runs --------------------------------------------------------------------------------------------------------


def test_ctl_lists_purges_and_deletes_queues_and_lists_bindings(ctl, channel):
    channel.queue_declare("q", arguments={"x-max-length": 3})
    channel.queue_bind("q", "amq.topic", "a.#")
    channel.basic_publish("", "q", b"x")
    wait_for(lambda: "q\t1" in lines(ctl("list_queues")))
    assert lines(ctl("list_queues"))[:3] == [
        "Timeout: 60.0 seconds ...",
        "Listing queues for vhost / ...",
        "name\tmessages",
    ]
    (row,) = json.loads(ctl("list_queues", "name", "messages", "type", "durable", "arguments", "--formatter", "json"))
    assert row["arguments"] == {"x-max-length": 3, "x-queue-type": "classic"}
    assert (row["messages"], row["type"], row["durable"]) == (1, "classic", False)
    assert "amq.topic\texchange\tq\tqueue\ta.#\t[]" in lines(ctl("list_bindings"))
    assert "amq.topic\ttopic" in lines(ctl("list_exchanges"))
    ctl("purge_queue", "q")
    assert "q\t0" in lines(ctl("list_queues"))
    assert lines(ctl("delete_queue", "q"))[-1] == "Queue was successfully deleted with 0 ready messages"
    assert "was not found" in ctl("purge_queue", "q", status=65)
    assert ctl("delete_queue", "q", status=64) == "Error:\nQueue not found\n"
    assert "Virtual host 'nope' does not exist" in ctl("list_queues", "-p", "nope", status=65)


def test_ctl_shows_a_message_of_a_queue_without_consuming_it(ctl, channel):
    channel.queue_declare("peeked")
    channel.basic_publish("", "peeked", b"first")
    properties = pika.BasicProperties(content_type="text/plain", headers={"tries": 3})
    channel.basic_publish("", "peeked", b"x" * 100, properties)
    wait_for(lambda: "peeked\t2" in lines(ctl("list_queues")))
    assert lines(ctl("peek_queue", "peeked")) == [
        "Peeking at queue 'peeked' at position 1 ...",
        "keys\tvalues",
        "payload (max 64 bytes)\tfirst",
        "exchange\t",
        "routing_keys\t[peeked]",
        "position\t1",
        "redelivered\tfalse",
    ]
    second = lines(ctl("peek_queue", "peeked", "2"))
    assert f"payload (max 64 bytes)\t{'x' * 64}" in second
    assert second[-2:] == ["content_type\ttext/plain", "header.tries\t3"]
    assert "does not have a message at that position" in ctl("peek_queue", "peeked", "3", status=65)
    assert "does not have a message" in ctl("peek_queue", "peeked", "--state", "unacked", status=65)
    assert "must be one of ready, unacked, delayed" in ctl("peek_queue", "peeked", "--state", "x", status=69)
    assert "from 1 on, not x" in ctl("peek_queue", "peeked", "x", status=64)
    assert "was not found in virtual host '/'" in ctl("peek_queue", "nope", status=65)
    assert "peeked\t2" in lines(ctl("list_queues"))
    channel.queue_delete("peeked")


def test_stream_is_declared_listed_and_read(ctl, channel):
    declared = ("declare_queue", "log", "--type", "stream", "--arguments", '{"x-max-age": "7D"}')
    assert lines(ctl(*declared)) == ["Declaring queue 'log' in vhost '/' ...", "Queue was declared"]
    assert lines(ctl(*declared))[-1] == "Queue exists with these properties"
    assert "inequivalent arg 'x-max-age'" in ctl("declare_queue", "log", "--type", "stream", status=69)
    assert "is to be a JSON object" in ctl("declare_queue", "log", "--arguments", "[", status=64)
    assert "unsupported queue type" in ctl("declare_queue", "new", "--type", "x", status=69)
    channel.confirm_delivery()
    for body in (b"a", b"b", b"c"):
        channel.basic_publish("", "log", body)
    columns = ("name", "type", "messages", "segments", "first_offset", "last_offset", "online", "message_bytes")
    shown = next(line for line in lines(ctl("list_queues", *columns)) if line.startswith("log"))
    name, kind, messages, segments, first, last, online, size = shown.split("\t")
    assert (name, kind, messages, segments, first, last, size) == ("log", "stream", "3", "1", "0", "2", "")
    assert online.startswith("[")
    columns = ("arguments", "readers", "committed_offset", "committed_chunk_id")
    (row,) = json.loads(ctl("list_queues", *columns, "--formatter", "json"))
    assert row["arguments"] == {"x-queue-type": "stream", "x-max-age": "7D"}
    assert (row["committed_offset"], row["committed_chunk_id"]) == (2, 2)
    assert list(row["readers"].values()) == [0]
    for words, payload, offset in (
        (("2",), "b", 1),
        (("--offset", "2"), "c", 2),
        (("--offset", "-2"), "b", 1),
        (("2", "--offset", "first"), "b", 1),
    ):
        found = lines(ctl("peek_queue", "log", *words))
        assert {
            f"payload (max 64 bytes)\t{payload}",
            f"position\t{offset}",
            f"header.x-stream-offset\t{offset}",
        } <= set(found)
    assert "this must be first, last" in ctl("peek_queue", "log", "--offset", "x", status=69)
    assert "queue.purge not supported by stream queues" in ctl("purge_queue", "log", status=69)
    ctl("delete_queue", "log", "--if-empty")


def test_dead_letter_queue_is_redriven(ctl, channel):
    channel.queue_declare("dlq", durable=True)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq", "x-max-length": 2}
    channel.queue_declare("work", durable=True, arguments=dead)
    for number in range(5):
        channel.basic_publish("", "work", b"%d" % number)
    wait_for(lambda: "dlq\t3" in lines(ctl("list_queues")))
    assert ctl("-q", "redrive_queue", "dlq", "--reason", "expired", "--progress") == (
        "COMPLETED: 0 moved, 0 left, 0 failed, 3 skipped\n"
    )
    started = ctl("-q", "redrive_queue", "dlq", "--rate", "1", "--from", "work", "--limit", "2", "--keep-history")
    assert re.fullmatch(r"Redrive \w+ was started\n", started)
    assert "is running already" in ctl("redrive_queue", "dlq", status=69)
    running, _ = json.loads(ctl("list_redrives", "dlq", "--formatter", "json"))
    assert (running["state"], running["task_handle"]) == ("RUNNING", started.split()[1])
    ctl("cancel_redrive", "dlq")
    assert "no redrive of queue 'dlq' is running" in ctl("cancel_redrive", "dlq", status=65)
    assert "CANCELLED" in lines(ctl("-q", "list_redrives", "dlq"))[1]
    assert "nope" in ctl("redrive_queue", "dlq", "--destination", "nope", status=65)
    assert "--rate '0' is not a whole number from 1" in ctl("redrive_queue", "dlq", "--rate", "0", status=64)
    ctl("delete_queue", "dlq")
    ctl("delete_queue", "work")


def test_ctl_lists_and_resets_the_offsets_of_a_stream(ctl, channel):
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    channel.basic_qos(prefetch_count=1)
    arguments = {"x-stream-automatic-offset-tracking": True}
    channel.basic_consume("s", lambda *_: None, consumer_tag="reader", arguments=arguments)
    (row,) = json.loads(ctl("list_stream_offsets", "s", "--formatter", "json"))
    assert (row["consumer"], row["offset"]) == ("reader", 0)
    assert "is running: cancel it" in ctl("reset_stream_offset", "s", "reader", status=69)
    channel.cancel()
    channel.basic_cancel("reader")
    ctl("reset_stream_offset", "s", "reader")
    assert json.loads(ctl("list_stream_offsets", "s", "--formatter", "json")) == []
    channel.queue_delete("s")


def test_ctl_adds_lists_and_deletes_super_streams(ctl):
    options = ("--max-age", "P1DT2H", "--max-length-bytes", "20gb", "--stream-max-segment-size-bytes", "50mb")
    more = ("--leader-locator", "client-local", "--initial-cluster-size", "1")
    added = ctl("add_super_stream", "sup", "--partitions", "2", *options, *more)
    assert lines(added) == ["Adding a super stream...", "Super stream sup has been created"]
    assert lines(ctl("-q", "list_super_streams"))[1:] == ["sup\tsup-0\t0", "sup\tsup-1\t1"]
    assert json.loads(ctl("list_queues", "name", "arguments", "--formatter", "json"))[0]["arguments"] == {
        "x-initial-cluster-size": 1,
        "x-max-age": "93600s",
        "x-max-length-bytes": 20_000_000_000,
        "x-queue-leader-locator": "client-local",
        "x-queue-type": "stream",
        "x-stream-max-segment-size-bytes": 50_000_000,
    }
    assert "exchange 'sup' exists" in ctl("add_super_stream", "sup", status=69)
    ctl("delete_super_stream", "sup")
    ctl("delete_super_stream", "sup", status=65)
    ctl("add_super_stream", "sup", "--binding-keys", "emea, apac", "--max-age", "7D")
    assert lines(ctl("-q", "list_super_streams"))[1:] == ["sup\tsup-emea\temea", "sup\tsup-apac\tapac"]
    ctl("delete_super_stream", "sup")
    assert lines(ctl("-q", "list_super_streams"))[1:] == []


DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("set_user_limits", "guest", f'{{"max-channels": {DIGITS}}}'), 69),
        (("set_parameter", "c", "n", DIGITS), 69),
        (("set_policy", "p", "x", f'{{"max-length": {DIGITS}}}'), 69),
        (("declare_queue", "q", "--arguments", f'{{"x-max-length": {DIGITS}}}'), 64),
    ],
)
def test_number_of_too_many_digits_in_json_is_refused_by_name(ctl, words, status):
    problem = "the number 9999999999... is too large: write one between -1.8e308 and 1.8e308"
    assert problem in ctl(*words, status=status)


def test_number_of_too_many_digits_in_a_definitions_file_is_refused_by_name(ctl, tmp_path):
    path = tmp_path / "definitions.json"
    path.write_text(f'{{"queues": {DIGITS}}}')
    problem = f"{path} is not valid JSON: the number 9999999999... is too large"
    assert problem in ctl("import_definitions", str(path), status=65)


def test_number_of_too_many_digits_in_a_word_is_refused(ctl):
    assert "is not a number of nodes" in ctl("await_online_nodes", DIGITS, status=64)
    assert "is not an age" in ctl("add_super_stream", "sup", "--max-age", f"P{DIGITS}D", status=64)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--partitions", "1", "--binding-keys", "a"), "not both"),
        (("--partitions", "0"), "--partitions '0' is not a whole number"),
        (("--max-age", "P"), "--max-age 'P' is not an age: write 7D or 12h"),
        (("--max-length-bytes", "much"), "--max-length-bytes 'much' is not a number of bytes"),
    ],
)
def test_wrong_options_of_super_streams_are_refused(ctl, options, problem):
    assert problem in ctl("add_super_stream", "sup", *options, status=64)


def test_ctl_follows_a_long_redrive_of_a_message_group(ctl, channel):
    channel.queue_declare("dead")
    arguments = {"x-group-header": "", "x-group-on-dead": "follow", "x-dead-letter-exchange": ""}
    channel.queue_declare("g", arguments={**arguments, "x-dead-letter-routing-key": "dead"})
    for _ in range(1000):
        channel.basic_publish("", "g", b"1")
    wait_for(lambda: "g\t1000" in lines(ctl("list_queues")))
    channel.basic_reject(channel.basic_get("g")[0].delivery_tag, requeue=False)
    wait_for(lambda: "dead\t1000" in lines(ctl("list_queues")))
    assert lines(ctl("redrive_group", "g", "g"))[-1] == "all messages of the group are delivered again"
    assert {"dead\t0", "g\t1000"} <= set(lines(ctl("list_queues")))
    channel.queue_delete("dead")
    channel.queue_delete("g")


def test_ctl_follows_a_long_redrive_of_a_parked_message_group(ctl, channel):
    channel.queue_declare("g", arguments={"x-group-header": "", "x-group-on-dead": "park", "x-message-ttl": 3_600_000})
    for _ in range(1000):
        channel.basic_publish("", "g", b"1")
    wait_for(lambda: "g\t1000" in lines(ctl("list_queues")))
    channel.basic_reject(channel.basic_get("g")[0].delivery_tag, requeue=False)
    wait_for(lambda: "g\t1" in lines(ctl("list_queues", "name", "groups_parked")))
    assert lines(ctl("redrive_group", "g", "g"))[-1] == "all messages of the group are delivered again"
    assert {"g\t0", "g\t1000"} <= {*lines(ctl("list_queues", "name", "groups_parked")), *lines(ctl("list_queues"))}
    channel.queue_delete("g")


def test_ctl_lists_redrives_and_discards_from_message_groups(ctl, channel):
    channel.queue_declare("g", arguments={"x-group-header": "", "x-group-on-dead": "park"})
    channel.queue_bind("g", "amq.topic", "#")
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("amq.topic", "a/b", body)
    wait_for(lambda: "g\t3" in lines(ctl("list_queues")))
    for left in (3, 2):
        channel.basic_reject(channel.basic_get("g")[0].delivery_tag, requeue=False)
        wait_for(lambda: "g\t1" in lines(ctl("list_queues", "name", "groups_parked")))
        found = ctl("list_groups", "g", "--state", "parked")
        assert lines(found)[1:] == [
            "key\tkey_type\tstate\tmessages\tmessages_unacknowledged\tmessages_delayed",
            f"a/b\tstring\tparked\t{left}\t0\t0",
        ]
        command = "redrive_group" if left == 2 else "discard_group_head"
        assert lines(ctl(command, "g", "a/b"))[-1] == "2 messages of the group are delivered again"
    channel.queue_purge("g")
    for count, key in enumerate(("", "-1", ".."), 1):
        channel.basic_publish("amq.topic", key, b"1")
        wait_for(lambda expected=f"g\t{count}": expected in lines(ctl("list_queues")))
        channel.basic_reject(channel.basic_get("g")[0].delivery_tag, requeue=False)
    for key in "", "-1", "..":
        done = ctl("redrive_group", "--key-type", "string", "g", "--", key)
        assert lines(done)[-1] == "1 messages of the group are delivered again"
    assert lines(ctl("list_groups", "g", "--state", "parked"))[1:] == []
    assert "no stopped group" in ctl("redrive_group", "g", "a/b", status=65)
    channel.queue_declare("plain")
    assert "declare it with x-group-header" in ctl("list_groups", "plain", status=69)
    channel.queue_delete("plain")
    channel.queue_delete("g")


def test_ctl_lists_connections_channels_and_consumers(ctl, channel):
    channel.queue_declare("c", exclusive=True)
    channel.basic_qos(prefetch_count=7)
    channel.basic_consume("c", lambda *_: None, consumer_tag="tag")
    ((user, _, _, state),) = [line.split("\t") for line in lines(ctl("-s", "list_connections"))]
    assert (user, state) == ("guest", "running")
    (row,) = json.loads(ctl("list_channels", "number", "consumer_count", "connection", "--formatter", "json"))
    assert (row["number"], row["consumer_count"]) == (1, 1)
    (row,) = json.loads(ctl("list_consumers", "--formatter", "json"))
    assert (row["queue_name"], row["consumer_tag"], row["prefetch_count"]) == ("c", "tag", 7)


def test_ctl_lists_the_extensions_of_queues(ctl, channel):
    arguments = {
        "x-consumer-timeout": 60_000,
        "x-consumer-timeout-action": "return",
        "x-message-deduplication": True,
        "x-delivery-time-header": "eta",
    }
    channel.queue_declare("extended", exclusive=True, arguments=arguments)
    later = {"eta": "2030-01-01T00:00:00Z", "x-deduplication-header": "17"}
    for _ in range(2):
        channel.basic_publish("", "extended", b"", pika.BasicProperties(headers=later))
    columns = ("messages_delayed", "messages_deduplicated", "deliveries_timed_out", "consumer_timeout_action")
    assert lines(ctl("-s", "list_queues", *columns)) == ["1\t1\t0\treturn"]
    times = ("next_delayed_at", "last_delayed_at", "messages_replaced")
    assert ctl("-s", "list_queues", *times) == "1893456000000\t1893456000000\t\n"


def test_error_text_of_a_policy_is_shown_as_it_is(ctl):
    definition = '{"delayed-retry-type": "al", "delayed-retry-min": 5}'
    text = ctl("set_policy", "p", "^q$", definition, status=69)
    assert '<<"al">> is not a valid delayed retry type' in text


def test_ctl_lists_jobs(ctl, channel):
    channel.queue_declare("work", exclusive=True)
    channel.basic_publish("", "work", b"", pika.BasicProperties(message_id="job", headers={"x-job": True}))
    wait_for(lambda: "job\tqueued\twork" in lines(ctl("-s", "list_jobs")))
    assert lines(ctl("-s", "list_jobs", "id", "user", "routing_key")) == ["job\tguest\twork"]


def test_ctl_lists_batches(ctl, channel):
    channel.queue_declare("parts", exclusive=True)
    for part in "1", "2":
        headers = {"x-batch-id": "image", "x-batch-size": 3}
        channel.basic_publish("", "parts", b"", pika.BasicProperties(message_id=part, headers=headers))
    channel.basic_get("parts", auto_ack=True)
    wait_for(lambda: "image\topen\t3\t1\t0\t1" in lines(ctl("-s", "list_batches")))
    assert lines(ctl("-s", "list_batches", "id", "members")) == ["image\t2"]


def test_ctl_deletes_batches(ctl, channel, broker):
    ctl("delete_batches")
    for id_ in "a", "b", "c":
        channel.basic_publish("", "", b"", pika.BasicProperties(message_id="1", headers={"x-batch-id": id_}))
    wait_for(lambda: lines(ctl("-s", "list_batches", "id")) == ["a", "b", "c"])
    assert ctl("-q", "delete_batch", "a").strip() == "The batch 'a' has been deleted"
    assert "There is no batch 'a' in vhost '/'" in ctl("delete_batch", "a", status=65)
    assert ctl("-q", "delete_batches", "--user", "other").strip() == "Deleted 0 batches"
    assert ctl("-q", "delete_batches", "--user", "guest").strip() == "Deleted 2 batches"
    assert ctl("-s", "list_batches", "id").strip() == ""


def test_ctl_deletes_jobs(ctl, broker, channel):
    channel.queue_declare("work", exclusive=True)

    def publish(*jobs):
        for id_, queue in jobs:
            properties = pika.BasicProperties(message_id=id_, headers={"x-job": True})
            channel.basic_publish("", queue, b"", properties)
        wait_for(lambda: {id_ for id_, _ in jobs} <= set(lines(ctl("-s", "list_jobs", "id"))))

    ctl("delete_jobs", "--force")
    publish(("running", "work"), ("waiting", "work"), ("failed", "nowhere"))
    channel.basic_get("work")
    wait_for(lambda: "running\trunning\twork" in lines(ctl("-s", "list_jobs")))
    assert ctl("-q", "delete_jobs").strip() == "Deleted 1 jobs"
    assert "the job is running" in ctl("delete_job", "running", status=69)
    ctl("delete_job", "running", "--force")
    assert lines(ctl("-s", "list_jobs", "id")) == ["waiting"]
    assert ctl("-q", "delete_jobs", "--force").strip() == "Deleted 1 jobs"
    assert "There is no job 'waiting'" in ctl("delete_job", "waiting", status=65)

    ctl("add_user", "other", "secret")
    ctl("set_permissions", "other", ".*", ".*", ".*")
    publish(("same", "work"), ("mine", "work"))
    as_other = pika.URLParameters(broker.url)
    as_other.credentials = pika.PlainCredentials("other", "secret")
    with pika.BlockingConnection(as_other) as connection:
        properties = pika.BasicProperties(message_id="same", headers={"x-job": True})
        connection.channel().basic_publish("", "work", b"", properties)
    wait_for(lambda: len(lines(ctl("-s", "list_jobs", "id"))) == 3)
    ctl("delete_job", "same", "--force", "--user", "other")
    assert sorted(lines(ctl("-s", "list_jobs", "id", "user"))) == ["mine\tguest", "same\tguest"]
    assert "There is no job 'same'" in ctl("delete_job", "same", "--force", "--user", "other", status=65)
    assert ctl("-q", "delete_jobs", "--force", "--user", "guest").strip() == "Deleted 2 jobs"


def test_ctl_lists_the_timeouts_of_consumers(ctl, channel):
    locked = {"x-consumer-timeout": 60_000, "x-consumer-timeout-action": "return"}
    channel.queue_declare("locked", exclusive=True, arguments=locked)
    channel.queue_declare("plain", exclusive=True)
    channel.basic_consume("locked", lambda *_: None, consumer_tag="1")
    channel.basic_consume("locked", lambda *_: None, consumer_tag="2", arguments={"x-consumer-timeout": 90_000})
    channel.basic_consume("plain", lambda *_: None, consumer_tag="3")
    columns = ("consumer_tag", "consumer_timeout", "consumer_timeout_action")
    assert sorted(lines(ctl("-s", "list_consumers", *columns))) == [
        "1\t60000\treturn",
        "2\t90000\treturn",
        "3\t1800000\t",
    ]


def test_ctl_closes_connections_with_the_given_reason(ctl, broker):
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    (name,) = lines(ctl("-s", "list_connections", "name"))
    ctl("close_connection", name, "go away")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED - go away"):
        connection.channel()
    assert "There is no connection" in ctl("close_connection", name, "again", status=69)
    connection = pika.BlockingConnection(pika.URLParameters(broker.url))
    assert lines(ctl("close_all_connections", "bye"))[-1] == "Closed 1 connections"
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED - bye"):
        connection.channel()


# --- node -------------------------------------------------------------------------------------------------------------


def test_the_node(ctl, broker):
    assert lines(ctl("ping"))[-1] == "Ping succeeded"
    ctl("await_startup")
    status = json.loads(ctl("status", "--formatter", "json"))
    assert status["pid"] == broker.process.pid
    assert status["amqpbroker"]["version"] == __version__
    assert f"OS PID: {broker.process.pid}" in lines(ctl("status"))
    assert f"amqpbroker version: {__version__} (" in ctl("status")
    assert "Disk Nodes" in ctl("cluster_status")
    assert lines(ctl("server_version"))[-1] == "4.0.5"
    assert "is fully booted and running" in ctl("check_running")


def test_one_broker_is_not_waited_for_as_several(ctl):
    ctl("await_online_nodes", "1")
    assert "there will never be 2; wait for 1" in ctl("await_online_nodes", "2", status=69)
    assert "x is not a number of nodes" in ctl("await_online_nodes", "x", status=64)


def test_a_broker_without_others_is_not_drained(ctl):
    for words in (["drain"], ["revive", "x"], ["transfer_leadership", "/"]):
        assert "this broker is the only one: start it and others with one database" in ctl(*words, status=69)


def test_ctl_shows_settings_and_memory_of_the_broker(ctl, broker):
    assert {"key": "heartbeat", "value": "60"} in json.loads(ctl("environment", "--formatter", "json"))
    assert "secret" not in ctl("environment")
    parts = json.loads(ctl("memory_breakdown", "--formatter", "json"))
    assert sum(parts.values()) > 10_000_000
    assert {line.partition(":")[0] for line in lines(ctl("-q", "memory_breakdown"))} == set(parts)


def test_ctl_health_checks_report_alarms_and_listeners(ctl, broker):
    assert "reported no alarms" in ctl("check_alarms")
    assert "reported no local alarms" in ctl("check_local_alarms")
    assert "Successfully connected to ports" in ctl("check_port_connectivity")
    ctl("check_port_listener", str(broker.port))
    assert "No listener for port 5 is active" in ctl("check_port_listener", "5", status=69)
    ctl("check_protocol_listener", "amqp")
    assert "for protocol mqtt" in ctl("check_protocol_listener", "mqtt", status=69)
    ctl("check_virtual_hosts")
    ctl("check_certificate_expiration", "--within", "1", "--unit", "weeks")
    assert f"port: {broker.port}, protocol: amqp" in ctl("listeners")


def test_ctl_with_a_wrong_password_fails_with_advice(url, capsys):
    assert run(["list_queues", "--url", url, "--password", "wrong"]) == 69
    assert "--url http://USER:PASSWORD@HOST:PORT" in capsys.readouterr().err


def test_definitions_are_exported_and_imported(ctl, tmp_path):
    ctl("add_vhost", "kept")
    path = tmp_path / "definitions.json"
    ctl("export_definitions", str(path))
    ctl("delete_vhost", "kept")
    ctl("import_definitions", str(path))
    assert "kept" in lines(ctl("list_vhosts"))
    ctl("delete_vhost", "kept")
    assert json.loads(ctl("export_definitions", "-"))["users"]
    assert "does not exist" in ctl("import_definitions", str(tmp_path / "nope"), status=65)


def test_the_owner_of_the_data_directory_needs_no_password(tmp_path, capsys):
    directory = str(tmp_path / "data")
    with BrokerProcess(tmp_path, "--data-dir", directory):
        assert run(["list_vhosts", "-s", "--data-dir", directory]) == 0
        assert capsys.readouterr().out == "/\n"


def test_await_startup_waits_for_the_broker(tmp_path):
    """A command that is started before the broker ends once the broker answers."""
    directory = str(tmp_path / "data")
    words = [sys.executable, "-m", "amqpbroker", "ctl", "await_startup", "--data-dir", directory, "--timeout", "30"]
    done = []

    def wait():
        done.append(subprocess.run(words, env=ENVIRONMENT, check=False).returncode)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)
    assert not done
    with BrokerProcess(tmp_path, "--data-dir", directory):
        waiting.join(30)
    assert done == [0]


def wait_for(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

import json

from conformance import transcript
from conformance.decoder import Event

GEN = "amq.gen-" + "a" * 22
CTAG = "amq.ctag-" + "b" * 22
PSEUDO = "amq.rabbitmq.reply-to"
REPLY = PSEUDO + ".g1h2AA9yZXBseUAxMzQxODg0ODQAAAZ8AAAAAGsJnKs=.y4tdmW7V/GOxsb7GR8x/+g=="
CLUSTER = "rabbit@host"


def build(received=None, observed=None, left=None):
    return transcript.build(received or {}, observed or {}, left or [], CLUSTER)


def test_server_named_queues_are_numbered_by_channel_not_by_arrival():
    later, earlier = (
        Event(1, "x", {"queue": "amq.gen-" + "z" * 22}),
        Event(2, "x", {"queue": GEN, "text": f"no '{GEN}'"}),
    )
    built = build({"c1/2": [earlier], "c1/1": [later]})
    assert built["received"] == {
        "c1/1": [{"method": "x", "queue": "amq.gen-<1>"}],
        "c1/2": [{"method": "x", "queue": "amq.gen-<2>", "text": "no 'amq.gen-<2>'"}],
    }


def test_reply_name_of_unknown_form_is_not_replaced_by_a_placeholder():
    for name in (PSEUDO + ".own", REPLY.rpartition(".")[0], REPLY.replace("/", "_")):
        assert build(observed={"reply": name})["observed"] == {"reply": name}


def test_consumer_tags_reply_names_and_the_node_become_placeholders():
    observed = {"tag": CTAG, "reply": REPLY, "node": "on rabbit@other"}
    assert build(observed=observed)["observed"] == {
        "tag": "amq.ctag-<1>",
        "reply": "amq.rabbitmq.reply-to.<1>",
        "node": "on <node>",
    }


def test_only_the_x_death_time_becomes_a_placeholder():
    headers = {"time": "T:5", "x-death": [{"time": "T:5", "queue": "S:q"}]}
    [message] = build(left=[{"headers": headers}])["left"]
    assert message["headers"] == {"time": "T:5", "x-death": [{"time": "T:<time>", "queue": "S:q"}]}


def test_numeric_x_death_time_over_http_becomes_a_placeholder():
    headers = {"x-death": [{"time": 1_700_000_000, "queue": "q"}]}
    [message] = build(left=[{"headers": headers}])["left"]
    assert message["headers"] == {"x-death": [{"time": "<time>", "queue": "q"}]}


def test_server_properties_are_recorded_without_cluster_and_own_entries():
    properties = {"cluster_name": "S:a@b", "platform": "S:p", "product": "S:RabbitMQ", "amqpbroker": "S:0.1.0"}
    start = Event(1, "connection.start", {"server_properties": properties})
    [shown] = build({"c1/0": [start]})["received"]["c1/0"]
    assert shown["server_properties"] == {
        "cluster_name": "S:<cluster_name>",
        "platform": "S:p",
        "product": "S:RabbitMQ",
    }
    assert build(observed={"amqpbroker": "1"})["observed"] == {"amqpbroker": "1"}


def test_order_of_login_mechanisms_is_not_recorded():
    built = build({"c1/0": [Event(0, "connection.start", {"mechanisms": "PLAIN AMQPLAIN ANONYMOUS"})]})
    assert built["received"]["c1/0"][0]["mechanisms"] == "AMQPLAIN ANONYMOUS PLAIN"


def test_names_chosen_by_clients_are_not_replaced_by_placeholders():
    assert build(observed={"a": "amq.gen-short", "b": "amq.rabbitmq.reply-to"})["observed"] == {
        "a": "amq.gen-short",
        "b": "amq.rabbitmq.reply-to",
    }


def test_channels_are_in_order_of_their_numbers():
    built = build({"c2/1": [Event(1, "x")], "c1/10": [Event(10, "x")], "c1/2": [Event(2, "x")]})
    assert list(built["received"]) == ["c1/2", "c1/10", "c2/1"]


def test_a_dump_is_json_with_a_line_for_each_frame():
    value = {"received": {"c1/1": [{"method": "a"}, {"method": "b", "list": [1, 2]}]}, "left": [{"queue": "q"}]}
    text = transcript.dump(value)
    assert json.loads(text) == value
    assert '   {"method": "b", "list": [1, 2]}\n' in text


def test_difference_of_equal_transcripts_is_empty():
    assert transcript.difference({"a": [1]}, {"a": [1]}) == ""


def test_a_difference_names_the_field_and_both_values():
    text = transcript.difference({"r": [{"method": "m", "x": 1}]}, {"r": [{"method": "m", "x": True}]})
    assert "-        x: 1" in text
    assert "+        x: true" in text


def test_the_order_of_headers_is_a_difference():
    assert transcript.difference({"h": {"a": 1, "b": 2}}, {"h": {"b": 2, "a": 1}})


def test_true_and_1_are_a_difference_in_a_transcript():
    assert transcript.difference({"x": 1}, {"x": True})

import pytest

from amqpbroker.broker.shovels.definition import read, speaks_amqp10

LEAST = {"src-uri": "amqp://", "dest-uri": "amqp://far", "src-queue": "a"}


def problems(value, name="s"):
    """Return the errors after the line that RabbitMQ begins with."""
    with pytest.raises(ValueError, match=r"^Validation failed\n\n") as error:
        read(name, value, False)
    return str(error.value).removeprefix("Validation failed\n\n").rstrip("\n").split("\n")


def test_shovel_definition_has_the_default_values():
    definition = read("s", LEAST, False)
    source, destination = definition.source, definition.destination
    assert (definition.ack_mode, definition.reconnect_delay_s) == ("on-confirm", 5)
    assert (source.queue, source.prefetch, source.delete_after, source.predeclared) == ("a", 1000, None, False)
    assert (destination.queue, destination.exchange, destination.exchange_key) == (None, None, None)
    assert not destination.add_forward_headers
    assert not destination.add_timestamp_header
    assert [uri.host for uri in (*source.uris, *destination.uris)] == [None, "far"]


def test_shovel_definition_reads_all_fields():
    value = {
        "src-protocol": "amqp091",
        "src-uri": ["amqp://", "amqp:///v"],
        "src-exchange": "x",
        "src-exchange-key": "k",
        "src-prefetch-count": 5,
        "src-delete-after": "queue-length",
        "src-predeclared": True,
        "src-queue-args": {"x-queue-type": "quorum"},
        "src-consumer-args": {"x-priority": 1},
        "dest-protocol": "amqp091",
        "dest-uri": "amqp://far",
        "dest-queue": "q",
        "dest-queue-args": {"x-max-length": 10},
        "dest-predeclared": True,
        "dest-publish-properties": {"delivery_mode": 2, "app_id": "me"},
        "dest-add-forward-headers": True,
        "dest-add-timestamp-header": True,
        "ack-mode": "no-ack",
        "reconnect-delay": 0.5,
    }
    definition = read("s", value, False)
    source, destination = definition.source, definition.destination
    assert [uri.vhost for uri in source.uris] == ["/", "v"]
    assert (source.exchange, source.exchange_key, source.queue, source.prefetch) == ("x", "k", None, 5)
    assert (source.delete_after, source.predeclared) == ("queue-length", True)
    assert (source.queue_arguments, source.consumer_arguments) == ({"x-queue-type": "quorum"}, {"x-priority": 1})
    assert (destination.queue, destination.queue_arguments, destination.predeclared) == (
        "q",
        {"x-max-length": 10},
        True,
    )
    assert destination.properties == {"delivery_mode": 2, "app_id": "me"}
    assert destination.add_forward_headers
    assert destination.add_timestamp_header
    assert (definition.ack_mode, definition.reconnect_delay_s) == ("no-ack", 0.5)


def test_shovel_definition_accepts_obsolete_field_names():
    value = {
        **LEAST,
        "prefetch-count": 7,
        "delete-after": 3,
        "add-forward-headers": True,
        "add-timestamp-header": True,
        "publish-properties": {"type": "t"},
    }
    definition = read("s", value, False)
    assert (definition.source.prefetch, definition.source.delete_after) == (7, 3)
    assert definition.destination.add_forward_headers
    assert definition.destination.add_timestamp_header
    assert definition.destination.properties == {"type": "t"}


def test_reconnect_delay_of_0_disables_reconnecting():
    assert read("s", {**LEAST, "reconnect-delay": 0}, False).reconnect_delay_s is None


def test_default_of_src_predeclared_is_configurable():
    assert read("s", LEAST, True).source.predeclared
    assert not read("s", {**LEAST, "src-predeclared": False}, True).source.predeclared


# The texts are RabbitMQ 4.0.5's answers, except for < and >, which its API escapes.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {},
            [
                "Must specify 'src-exchange' or 'src-queue'",
                'Key "dest-uri" not found in s',
                'Key "src-uri" not found in s',
            ],
        ),
        (
            {**LEAST, "foo": 1, "bar": "x"},
            ['Unrecognised terms [{<<"bar">>,<<"x">>},{<<"foo">>,1}] in s'],
        ),
        (
            {"src-uri": "http://x", "dest-uri": "amqp://h:99999", "src-queue": 5},
            [
                '"amqp://h:99999" not a valid URI: {{port_out_of_range,99999},"amqp://h:99999"}',
                "src-queue should be binary, actually was 5",
                '"http://x" not a valid URI: {{unexpected_uri_scheme,"http"},"http://x"}',
            ],
        ),
        (
            {"src-uri": 5, "dest-uri": ["amqp://", "nix"], "src-queue": "a"},
            [
                '"nix" not a valid URI: {{unable_to_parse_uri,no_scheme},"nix"}',
                "src-uri should be list, actually was 5",
            ],
        ),
        (
            {**LEAST, "src-exchange": "b", "dest-queue": "b", "dest-exchange": "c"},
            [
                "Cannot specify 'src-exchange' and 'src-queue'",
                "Cannot specify 'dest-exchange' and 'dest-queue'",
            ],
        ),
        (
            {
                **LEAST,
                "ack-mode": "x",
                "reconnect-delay": "5",
                "src-prefetch-count": "x",
                "src-delete-after": "x",
                "src-predeclared": "yes",
            },
            [
                'src-predeclared should be boolean, actually was <<"yes">>',
                'src-delete-after should be a number greater than or equal to 0, "never" or "queue-length", actually'
                ' was <<"x">>',
                'src-prefetch-count should be a number, actually was <<"x">>',
                'ack-mode should be one of [<<"no-ack">>,<<"on-publish">>,<<"on-confirm">>], actually was <<"x">>',
                'reconnect-delay should be a number, actually was <<"5">>',
            ],
        ),
        (
            {**LEAST, "ack-mode": "no-ack", "src-delete-after": 5},
            ["Cannot specify 'no-ack' and numerical 'delete-after'"],
        ),
        (
            {
                **LEAST,
                "src-delete-after": -5,
                "dest-publish-properties": {"foo": 1, "delivery_mode": "2"},
                "dest-queue-args": {"foo": 1},
                "src-consumer-args": {"bar": 1},
            },
            [
                'Unrecognised terms [{<<"foo">>,1}] in dest-publish-properties',
                'delivery_mode should be a number, actually was <<"2">>',
                'Unrecognised terms [{<<"foo">>,1}] in dest-queue-args',
                'src-delete-after should be a number greater than or equal to 0, "never" or "queue-length", actually'
                " was -5",
                'Unrecognised terms [{<<"bar">>,1}] in src-consumer-args',
            ],
        ),
        ({**LEAST, "dest-publish-properties": "x"}, ['dest-publish-properties not a list <<"x">>']),
    ],
)
def test_invalid_shovel_definition_is_refused_with_the_errors_of_rabbitmq(value, expected):
    assert problems(value) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"src-uri": []},
        {"src-uri": [["amqp://"]]},
        {"src-uri": [5]},
        {"reconnect-delay": 1e300},
        {"src-prefetch-count": 65536},
        {"src-prefetch-count": -1},
        {"src-queue": "q" * 256},
        {"dest-exchange-key": "ü" * 128},
        {"dest-publish-properties": {"delivery_mode": 256}},
        {"dest-publish-properties": {"priority": 1.5}},
        {"dest-publish-properties": {"timestamp": 2**64}},
        {"dest-publish-properties": {"app_id": "x" * 256}},
        {"dest-queue-args": {"x-max-length": 2**63}},
        {"dest-queue-args": {"x-max-length": {}}},
        {"src-protocol": "amqp10"},
        {"dest-protocol": "local"},
    ],
)
def test_unsupported_shovel_field_value_is_refused(change):
    assert problems({**LEAST, **change})


@pytest.mark.parametrize(
    "value",
    [
        {**LEAST, "src-uri": "amqp://ann:s3cret@h:0", "dest-uri": ["amqp://ann:s3cret@h/a/b"]},
        {**LEAST, "src-url": "amqp://ann:s3cret@h", "zzz": "amqp://ann:s3cret@h"},
        {**LEAST, "src-uri": {"amqp": "amqp://ann:s3cret@h"}},
        {**LEAST, "dest-uri": "nix://ann:s3cret@h?password=s3cret"},
        "amqp://ann:s3cret@h",
    ],
)
def test_errors_of_a_shovel_definition_contain_no_passwords(value):
    assert "s3cret" not in "".join(problems(value))


@pytest.mark.parametrize("value", [[], "x", None, 1])
def test_shovel_definition_must_be_a_json_object(value):
    assert problems(value)


def test_shovel_definition_with_amqp_1_0_is_recognised():
    assert speaks_amqp10({"dest-protocol": "amqp10"})
    assert not speaks_amqp10({"dest-protocol": "amqp091"})
    assert not speaks_amqp10([])

import pytest

from amqpbroker.client.login import FRAME_MAX, Login, MechanismError, Tuned, agreed, announced, client_properties
from amqpbroker.wire import methods
from amqpbroker.wire.reader import FrameReader

TUNE = {"channel_max": 2047, "frame_max": FRAME_MAX, "heartbeat": 60}


def login(**changes):
    given = {
        "properties": client_properties("p", "n"),
        "mechanisms": ("PLAIN", "AMQPLAIN"),
        "user": "ann",
        "password": "s3cret",
    }
    return Login(**(given | {"heartbeat": lambda suggested: suggested} | changes))


def read(data):
    reader = FrameReader(0)
    reader.feed(data)
    ((_, channel, payload),) = reader.frames()
    method = methods.METHODS[int.from_bytes(payload[:4], "big")]
    return channel, method.name, methods.decode(method, payload)


def answer(offered, **changes):
    channel, name, arguments = read(login(**changes).start_ok({"mechanisms": offered}))
    assert (channel, name) == (0, "connection.start-ok")
    return arguments


@pytest.mark.parametrize(
    ("offered", "mechanisms", "chosen", "response"),
    [
        (b"AMQPLAIN PLAIN", ("PLAIN", "AMQPLAIN"), "PLAIN", b"\0ann\0s3cret"),
        (b"AMQPLAIN", ("PLAIN", "AMQPLAIN"), "AMQPLAIN", b"\5LOGINS\0\0\0\3ann\x08PASSWORDS\0\0\0\x06s3cret"),
        (b"PLAIN EXTERNAL", ("EXTERNAL",), "EXTERNAL", b""),
    ],
)
def test_best_offered_mechanism_is_taken(offered, mechanisms, chosen, response):
    arguments = answer(offered, mechanisms=mechanisms)
    assert (arguments["mechanism"], arguments["response"]) == (chosen, response)


def test_client_properties_name_the_client_and_its_connection():
    properties = answer(b"PLAIN")["client_properties"]
    assert [properties[key].value for key in ("product", "connection_name")] == [b"p", b"n"]
    assert properties["capabilities"].value["consumer_cancel_notify"].value is True


def test_client_announces_no_more_than_the_given_properties():
    assert answer(b"PLAIN", properties={})["client_properties"] == {}
    properties = answer(b"PLAIN", properties=announced(["connection.blocked"]))["client_properties"]
    assert list(properties) == ["capabilities"]
    assert list(properties["capabilities"].value) == ["connection.blocked"]


def test_no_common_mechanism_is_an_error():
    with pytest.raises(MechanismError, match="offers none of the mechanisms PLAIN, AMQPLAIN") as error:
        login().start_ok({"mechanisms": b"ANONYMOUS EXTERNAL"})
    assert error.value.offered == ["ANONYMOUS", "EXTERNAL"]


@pytest.mark.parametrize(
    ("tune", "changes", "tuned"),
    [
        ({}, {}, (2047, FRAME_MAX, 60)),
        ({"frame_max": 0, "channel_max": 0}, {}, (0, FRAME_MAX, 60)),
        ({"frame_max": 0, "channel_max": 0}, {"frame_max": 8192, "channel_max": 7}, (7, 8192, 60)),
        ({"frame_max": 4096}, {"frame_max": 8192, "channel_max": 65535}, (2047, 4096, 60)),
        ({"frame_max": 10 * FRAME_MAX}, {"frame_max": 9 * FRAME_MAX}, (2047, FRAME_MAX, 60)),
        ({}, {"heartbeat": lambda suggested: suggested // 2}, (2047, FRAME_MAX, 30)),
    ],
)
def test_client_and_broker_agree_on_the_smaller_limits(tune, changes, tuned):
    assert login(**changes).tuned(TUNE | tune) == tuned


def test_limits_are_sent_with_tune_ok():
    assert read(Tuned(2047, 4096, 10).frame()) == (
        0,
        "connection.tune-ok",
        {"channel_max": 2047, "frame_max": 4096, "heartbeat": 10},
    )


def test_zero_means_no_limit_in_tune_negotiation():
    assert [agreed(0, 0), agreed(5, 0), agreed(0, 5), agreed(5, 6)] == [0, 5, 5, 5]


def test_password_is_not_shown():
    assert "s3cret" not in repr(login())

import pytest

from conformance import methods
from conformance.errors import MalformedFrameError


@pytest.mark.parametrize(
    ("name", "arguments", "payload"),
    [
        ("basic.qos", {"prefetch_count": 5, "global_": True}, "003c000a 00000000 0005 01"),
        ("queue.delete", {"queue": "q", "if_empty": True, "nowait": True}, "00320028 0000 0171 06"),
        ("basic.nack", {"delivery_tag": 7, "requeue": True}, "003c0078 0000000000000007 02"),
        ("access.request", {"realm": "/", "read": True}, "001e000a 012f 10"),
    ],
)
def test_encoded_method_has_its_ids_and_packed_arguments(name, arguments, payload):
    assert methods.encode_method(name, arguments) == bytes.fromhex(payload)


def test_every_encoded_method_is_decoded_to_its_name():
    for name in methods.BY_NAME:
        assert methods.decode_method(methods.encode_method(name, {}))[0] == name


def test_encoded_method_arguments_are_decoded_unchanged():
    sent = {"queue": "q", "message_count": 3, "consumer_count": 4}
    assert methods.decode_method(methods.encode_method("queue.declare-ok", sent)) == ("queue.declare-ok", sent)


def test_an_unknown_argument_or_property_is_an_error():
    with pytest.raises(KeyError):
        methods.encode_method("queue.declare", {"que": "q"})
    with pytest.raises(KeyError):
        methods.encode_header(0, {"delivery": 2})


def test_encoded_properties_are_decoded_unchanged():
    sent = {"content_type": "text/plain", "priority": 3, "timestamp": 5, "cluster_id": "c"}
    assert methods.decode_header(methods.encode_header(9, sent)) == (9, sent)


@pytest.mark.parametrize("payload", [b"\0\x63\0\x0a", methods.encode_method("basic.get-empty", {}) + b"x"])
def test_invalid_method_payload_is_malformed(payload):
    with pytest.raises(MalformedFrameError):
        methods.decode_method(payload)

import pytest

from amqpbroker.broker.exchanges.default import DefaultType
from tests.broker.routed import Box, binding_to, routed


def test_default_exchange_routes_by_queue_name() -> None:
    queues = {"a": Box("a"), "é": Box("é")}
    default = DefaultType(queues.get)
    assert routed(default, b"a") == ["a"]
    assert routed(default, "é".encode()) == ["é"]
    assert routed(default, b"\xff") == []
    queues["new"] = Box("new")
    assert routed(default, b"new") == ["new"]


def test_default_exchange_refuses_bindings() -> None:
    default = DefaultType({}.get)
    with pytest.raises(NotImplementedError):
        default.bind(binding_to(Box("a")))
    with pytest.raises(NotImplementedError):
        default.unbind(binding_to(Box("a")))

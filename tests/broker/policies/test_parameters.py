from typing import Any

import pytest

from amqpbroker.broker.policies.parameters import Component, GlobalParameters, Parameters, validation_failed
from amqpbroker.store.definitions.definitions import GlobalParameterDefinition, MemoryDefinitions


class Plain(Component):
    """A component that accepts any value except None."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], object] = {}

    def check(self, name: str, value: object) -> None:
        if value is None:
            raise validation_failed("nothing")

    def put(self, vhost: str, name: str, value: object) -> None:
        self.kept[vhost, name] = value

    def delete(self, vhost: str, name: str) -> None:
        del self.kept[vhost, name]

    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        return [(*key, value) for key, value in self.kept.items() if vhost in (None, key[0])]


@pytest.fixture
def parameters() -> Parameters:
    return Parameters({"policy": Plain(), "a": Plain(), "b": Plain()})


def test_parameters_are_listed_by_component_and_vhost(parameters: Parameters) -> None:
    given: list[tuple[str, str, str, Any]] = [("a", "/", "n", 1), ("a", "v", "n", 2), ("b", "/", "n", {"x": [None]})]
    for each in given:
        parameters.put(*each)
    assert parameters.list() == given
    assert parameters.list("a") == given[:2]
    assert parameters.list(vhost="/") == [given[0], given[2]]
    assert parameters.list("a", "v") == [given[1]]
    assert parameters.list("nope") == []
    assert parameters.get("b", "/", "n") == given[2]


def test_policies_are_listed_only_on_request(parameters: Parameters) -> None:
    parameters.put("policy", "/", "p", 1)
    assert parameters.list() == []
    assert parameters.list("policy") == [("policy", "/", "p", 1)]


def test_parameter_of_an_unknown_component_is_refused(parameters: Parameters) -> None:
    with pytest.raises(ValueError, match=r"^Validation failed\n\ncomponent shuffle not found\n$"):
        parameters.put("shuffle", "/", "s", {})


def test_parameter_value_is_validated_by_its_component(parameters: Parameters) -> None:
    with pytest.raises(ValueError, match=r"^Validation failed\n\nnothing\n$"):
        parameters.put("a", "/", "s", None)


@pytest.mark.parametrize("key", [("a", "/", "m"), ("a", "v", "n"), ("b", "/", "n"), ("nope", "/", "n")])
def test_missing_parameter_is_an_error(parameters: Parameters, key: tuple[str, str, str]) -> None:
    parameters.put("a", "/", "n", 1)
    for look in (parameters.get, parameters.delete):
        with pytest.raises(LookupError, match=f"parameter '{key[2]}' of component '{key[0]}' in vhost '{key[1]}'"):
            look(*key)
    parameters.delete("a", "/", "n")
    assert parameters.list() == []


def test_global_parameters() -> None:
    parameters = GlobalParameters(MemoryDefinitions())
    parameters.put("b", {"x": 1})
    parameters.put("a", 1)
    parameters.put("b", None)
    assert parameters.list() == [("a", 1), ("b", None)]
    assert parameters.get("b") == ("b", None)
    assert (parameters.value("a", 2), parameters.value("c", 2)) == (1, 2)
    parameters.delete("b")
    for look in (parameters.get, parameters.delete):
        with pytest.raises(LookupError, match="global parameter 'b' does not exist"):
            look("b")
    parameters.restore(GlobalParameterDefinition("b", 3))
    assert parameters.list() == [("a", 1), ("b", 3)]

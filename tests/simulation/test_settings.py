"""All numbers among the settings vary, or have a reason why not."""

import dataclasses

from amqpbroker.config import Config
from tests.simulation.settings import NOT_VARIED, VARIED


def test_each_number_varies_or_has_a_reason():
    numbers = {field.name for field in dataclasses.fields(Config) if type(field.default) in (int, float)}
    assert numbers - VARIED.keys() == NOT_VARIED.keys()

from dataclasses import FrozenInstanceError

import pytest

from amqpbroker.broker.queues.arguments.settings import QueueSettings


def test_queue_settings_are_immutable() -> None:
    settings = QueueSettings()
    with pytest.raises(FrozenInstanceError):
        settings.max_length = 5  # type: ignore[misc]

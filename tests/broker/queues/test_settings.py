from dataclasses import FrozenInstanceError

import pytest

from amqpbroker.broker.queues.settings import QueueSettings


def test_settings_never_change() -> None:
    settings = QueueSettings()
    with pytest.raises(FrozenInstanceError):
        settings.max_length = 5  # type: ignore[misc]

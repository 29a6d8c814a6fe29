"""Start of the compared brokers."""

import pytest

from conformance.rabbitmq import PLUGINS
from tests.bench.brokers import DELAYING, plugins


def test_rabbitmq_delays_messages_only_if_the_plugin_exists(tmp_path):
    assert plugins(tmp_path) == PLUGINS
    assert DELAYING not in PLUGINS


@pytest.mark.parametrize("folder", ["plugins", "lib/rabbitmq_server-4.0.5/plugins"])
def test_an_installed_plugin_is_enabled(tmp_path, folder):
    path = tmp_path / folder / f"{DELAYING}-4.0.2.ez"
    path.parent.mkdir(parents=True)
    path.touch()
    assert plugins(tmp_path) == PLUGINS.removesuffix("].") + f",{DELAYING}]."

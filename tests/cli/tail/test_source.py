"""Message sources of tail, on a broker that has only the firehose's switch, as RabbitMQ does."""

from collections.abc import Iterator
from typing import Any

import pytest

from amqpbroker.cli.ctl.api import Api
from amqpbroker.cli.ctl.failure import ApiError
from amqpbroker.cli.tail.source import Source, found
from amqpbroker.testing import Broker


class RabbitMqApi(Api):
    """API without the path that amqpbroker has in addition to RabbitMQ's."""

    def put(self, path: str, body: Any = None) -> int:
        if "/tracing/" in path:
            raise ApiError(405, "HTTP status 405")
        return super().put(path, body)

    @property
    def is_traced(self) -> bool:
        return bool(self.get("vhosts/%2F")["tracing"])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Broker(management=True) as broker:
        yield broker.http_url


@pytest.fixture
def api(url: str) -> RabbitMqApi:
    return RabbitMqApi(url, "Basic Z3Vlc3Q6Z3Vlc3Q=", 60)


def opened(api: Api) -> Source:
    source = found(api, "/", "amq.default", None, "#")
    source.open()
    return source


def test_the_last_tail_switches_tracing_off(api: RabbitMqApi) -> None:
    first, second = opened(api), opened(api)
    first.close()
    assert api.is_traced
    second.close()
    assert not api.is_traced


def test_tracing_that_was_on_before_stays_on(api: RabbitMqApi) -> None:
    api.put("vhosts/%2F", {"tracing": True})
    opened(api).close()
    assert api.is_traced
    api.put("vhosts/%2F", {"tracing": False})


def test_refused_tracing_request_is_not_mistaken_for_a_rabbitmq_api(url: str) -> None:
    class Refusing(RabbitMqApi):
        def put(self, path: str, body: Any = None) -> int:
            if "/tracing/" in path:
                raise ApiError(401, "Not_Authorized")
            return super().put(path, body)

    with pytest.raises(ApiError, match="Not_Authorized"):
        opened(Refusing(url, "Basic Z3Vlc3Q6Z3Vlc3Q=", 60))

"""The pytest plugin: fixtures with a broker, without configuration.

pytest imports this module wherever amqpbroker is installed, so it imports nothing that a test run without a broker
would have to wait for. PYTEST_DONT_REWRITE: it has no assertions for pytest to explain.
"""

import itertools
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from amqpbroker.testing.aio.broker import AsyncBroker
    from amqpbroker.testing.aio.vhost import AsyncVhost
    from amqpbroker.testing.broker import Broker
    from amqpbroker.testing.vhost import Vhost

_Scope = Literal["session", "package", "module", "class", "function"]

SCOPES = ("session", "package", "module", "class", "function")

#: Values of the setting `compat`.
VERSIONS = ("4.0", "4.1", "4.2", "4.3")

#: Fixture whose parameter makes a test run with several versions.
_COMPAT = "_amqp_compat"

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("amqpbroker", "amqpbroker: a message broker for tests")
    scope_help = "scope of the fixture amqp_broker: tests within it share one broker (default: session)"
    version_help = "RabbitMQ release series that the broker behaves as (default: 4.0)"
    group.addoption("--amqp-broker-scope", choices=SCOPES, help=scope_help)
    group.addoption(
        "--amqp-version",
        action="append",
        choices=VERSIONS,
        help=f"{version_help}; given several times, tests with a broker run with each",
    )
    parser.addini("amqp_broker_scope", scope_help, default="session")
    parser.addini("amqp_version", f"{version_help}; with several, tests with a broker run with each", "args", ["4.0"])


def pytest_configure(config: pytest.Config) -> None:
    _check("amqp_broker_scope", _broker_scope("", config), SCOPES)
    for version in _versions(config):
        _check("amqp_version", version, VERSIONS)


def _check(name: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        from amqpbroker.testing.hints import did_you_mean

        hint = did_you_mean(value, possible)
        raise pytest.UsageError(f"{name} = {value}: this must be one of {', '.join(possible)}{hint}")


def _broker_scope(fixture_name: str, config: pytest.Config) -> _Scope:
    return cast(_Scope, config.getoption("--amqp-broker-scope") or config.getini("amqp_broker_scope"))


def _versions(config: pytest.Config) -> list[str]:
    return config.getoption("--amqp-version") or config.getini("amqp_version") or ["4.0"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if _COMPAT not in metafunc.fixturenames:
        return
    versions = _versions(metafunc.config)
    if "amqp_version" in metafunc.fixturenames and not metafunc.config.getoption("--amqp-version"):
        versions = list(VERSIONS)
    if len(versions) > 1:
        metafunc.parametrize(_COMPAT, versions, indirect=True, scope=_broker_scope(_COMPAT, metafunc.config))


@pytest.fixture(scope=_broker_scope)
def _amqp_compat(request: pytest.FixtureRequest) -> str:
    """Return the version that the test's broker behaves as."""
    return cast(str, getattr(request, "param", None) or _versions(request.config)[0])


@pytest.fixture
def amqp_version(_amqp_compat: str) -> str:
    """Run the test once with a broker of each release series of RabbitMQ: "4.0", "4.1", "4.2" and "4.3"."""
    return _amqp_compat


@pytest.fixture(scope="session")
def amqp_settings() -> Mapping[str, Any]:
    """Arguments of Broker(...), to be overridden: {"management": True, "consumer_timeout": 60_000}."""
    return {}


@pytest.fixture(scope=_broker_scope)
def amqp_broker(_amqp_compat: str, amqp_settings: Mapping[str, Any]) -> "Iterator[Broker]":
    """A running amqpbroker.testing.Broker, shared by the tests within --amqp-broker-scope."""
    from amqpbroker.testing.broker import Broker

    if "compat" in amqp_settings:
        raise pytest.UsageError("amqp_settings has compat: set amqp_version in pytest's configuration instead")
    with Broker(compat=_amqp_compat, **amqp_settings) as broker:
        yield broker


@pytest.fixture
def amqp_vhost(request: pytest.FixtureRequest, amqp_broker: "Broker") -> "Iterator[Vhost]":
    """An amqpbroker.testing.Vhost of this test alone. Afterwards it is deleted, and faults and a frozen clock end."""
    from amqpbroker.testing.vhost import Vhost

    test: str = request.node.name
    name = f"{test[:60]}-{next(_numbers)}"
    amqp_broker.add_vhost(name)
    yield Vhost(amqp_broker, name)
    if amqp_broker.running:
        amqp_broker.faults.forget()
        amqp_broker.delete_vhost(name, missing_ok=True)
        amqp_broker.clock.resume()


@pytest.fixture
def amqp_url(amqp_vhost: "Vhost") -> str:
    """The URL of `amqp_vhost`: amqp://guest:guest@127.0.0.1:PORT/VHOST"""
    return amqp_vhost.url


@pytest.fixture(scope=_broker_scope)
def async_amqp_broker(amqp_broker: "Broker") -> "AsyncBroker":
    """An amqpbroker.testing.AsyncBroker for async tests: the broker of `amqp_broker`, with awaitable methods."""
    from amqpbroker.testing.aio.broker import AsyncBroker

    return AsyncBroker.from_broker(amqp_broker)


@pytest.fixture
def async_amqp_vhost(async_amqp_broker: "AsyncBroker", amqp_vhost: "Vhost") -> "AsyncVhost":
    """An amqpbroker.testing.AsyncVhost for async tests: the vhost of `amqp_vhost`, with awaitable methods."""
    from amqpbroker.testing.aio.vhost import AsyncVhost

    return AsyncVhost(async_amqp_broker, amqp_vhost.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a section to the report of a failed test: active faults, and those that triggered, with random seeds."""
    report = yield
    broker = getattr(item, "funcargs", {}).get("amqp_broker")
    if report.failed and broker is not None and (faults := broker.faults.report()):
        report.sections.append(("amqpbroker faults", faults))
    return report

"""The pytest plugin: a broker for tests that ask for one, with nothing to configure.

pytest imports it wherever amqpbroker is installed. So it imports nothing itself that a run without a broker would
have to wait for. It has no assertions that pytest were to explain: PYTEST_DONT_REWRITE.
"""

import itertools
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from amqpbroker.testing.broker import Broker
    from amqpbroker.testing.vhost import Vhost

_Scope = Literal["session", "package", "module", "class", "function"]

SCOPES = ("session", "package", "module", "class", "function")

#: What the setting `compat` can be.
VERSIONS = ("4.0", "4.1", "4.2", "4.3")

#: The fixture by whose parameter a test is run with several versions.
_COMPAT = "_amqp_compat"

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("amqpbroker", "amqpbroker: a message broker for tests")
    scope_help = "how long a broker lives, and whoever asks for one shares it: session (default) to function"
    version_help = "RabbitMQ's release series that the broker behaves as (default: 4.0)"
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
        raise pytest.UsageError(f"{name} = {value}: this must be one of {', '.join(possible)}")


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
    """The one that this test runs with."""
    return cast(str, getattr(request, "param", None) or _versions(request.config)[0])


@pytest.fixture
def amqp_version(_amqp_compat: str) -> str:
    """Has the test run with a broker of each release series of RabbitMQ: "4.0", "4.1", "4.2", "4.3"."""
    return _amqp_compat


@pytest.fixture(scope="session")
def amqp_settings() -> Mapping[str, Any]:
    """What Broker(...) is given. To be overridden: {"management": True, "consumer_timeout": 60_000}."""
    return {}


@pytest.fixture(scope=_broker_scope)
def amqp_broker(_amqp_compat: str, amqp_settings: Mapping[str, Any]) -> "Iterator[Broker]":
    """A running amqpbroker.testing.Broker; who shares it is set by --amqp-broker-scope."""
    from amqpbroker.testing.broker import Broker

    if "compat" in amqp_settings:
        raise pytest.UsageError("amqp_settings has compat: set amqp_version in pytest's configuration instead")
    with Broker(compat=_amqp_compat, **amqp_settings) as broker:
        yield broker


@pytest.fixture
def amqp_vhost(request: pytest.FixtureRequest, amqp_broker: "Broker") -> "Iterator[Vhost]":
    """A vhost of this test alone, with a name and a URL; it goes with all that is in it. Time then runs again, and no
    fault is in force."""
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails tells which faults were in force, and which struck, with the seed of those by chance."""
    report = yield
    broker = getattr(item, "funcargs", {}).get("amqp_broker")
    if report.failed and broker is not None and (faults := broker.faults.report()):
        report.sections.append(("amqpbroker faults", faults))
    return report

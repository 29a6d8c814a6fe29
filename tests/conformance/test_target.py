import pytest

from conformance.errors import SetupError
from conformance.target import Target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("amqp://host:5673", Target("host", 5673)),
        ("host", Target("host", 5672)),
        ("amqp://u%40:p@[::1]:1/", Target("::1", 1, "u@", "p")),
    ],
)
def test_a_target_is_read_from_its_url(url, target):
    assert Target.parse(url) == target


@pytest.mark.parametrize("url", ["http://host", "amqp://"])
def test_invalid_target_url_is_an_error(url):
    with pytest.raises(SetupError, match="amqp://"):
        Target.parse(url)

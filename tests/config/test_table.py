from operator import attrgetter

import pytest

from amqpbroker.config import SETTINGS, Config, find, load


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.attribute], ids=lambda s: s.key)
def test_a_documented_default_is_the_default(setting):
    default = attrgetter(setting.attribute)(Config())
    if setting.default:
        assert setting.accepted.parse(setting.default) == default
    else:
        assert default == ""


@pytest.mark.parametrize("setting", [s for s in SETTINGS if "=" in s.default], ids=lambda s: s.key)
def test_documented_defaults_of_lists_are_the_default(setting):
    prefix = setting.key.rpartition(".")[0]
    items = [item.split(" = ") for item in setting.default.split(", ")]
    config = load([(f"{prefix}.{name}", value) for name, value in items], {})
    section = prefix.partition(".ssl.")[0]
    if section != prefix:  # naming a version turns TLS on
        assert getattr(config, section).tls == getattr(Config(), section).tls
    else:
        assert config == Config()


def test_every_row_is_documented_and_found_by_its_key_and_aliases():
    for setting in SETTINGS:
        assert setting.doc.endswith(".")
        for key in (setting.key, *setting.aliases):
            assert find(key.replace("$", ""))[0] is setting


def test_keys_are_unique():
    keys = [key for setting in SETTINGS for key in (setting.key, *setting.aliases)]
    assert sorted(set(keys)) == sorted(keys)


def test_dot_within_a_word_is_escaped():
    assert find(r"default_users.john\.doe.password")[1] == "john.doe"


def test_passwords_are_secret():
    # A URL may have a password.
    passwords = {s.key for s in SETTINGS if s.key.endswith(("pass", "password"))} | {"store.url"}
    assert passwords == {s.key for s in SETTINGS if s.secret}

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from amqpbroker.config import SETTINGS, Assignment, Config, ConfigError, Kind, Origin, find
from amqpbroker.config.foreign import LEFT_OUT, REFUSED, is_foreign, matches, reason_in
from amqpbroker.config.loading import made


def assigned(key, text):
    return [Assignment(key, text, Origin(Kind.FILE, "a.conf", 3))]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("raft.wal_max_size_bytes", "64000000"),
        ("cluster_formation.classic_config.nodes.1", "rabbit@one"),
        ("net_ticktime", "60"),
        ("vm_memory_high_watermark_paging_ratio", "0.75"),
        ("mqtt.listeners.tcp.default", "1883"),
        ("tcp_listen_options.backlog", "4096"),
        ("log.connection.file", "connection.log"),
        ("ssl_options.honor_ecc_order", "true"),
        ("management.listener.ssl_opts.reuse_sessions", "true"),
        ("quorum_queue.wal_max_entries", "500"),
        ("stream.listeners.tcp.default", "5552"),
        ("management.sample_retention_policies.global.minute", "5"),
    ],
)
def test_key_without_effect_causes_a_warning(key, text):
    warned = []
    assert made(assigned(key, text), warned.append) == Config()
    (warning,) = warned
    assert warning.startswith(f"a.conf:3: {key} has no effect: ")


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("credential_validator.min_length", "8", "password rules are not supported"),
        ("amqp_client.ssl_options.verify", "verify_peer", "set the TLS options in the URI of each shovel"),
        ("ssl_options.crl_sources.1.path", "/crl", "revocation lists are not supported"),
        ("management.ssl.crl_check", "peer", "revocation lists are not supported"),
        ("management.oauth_provider_url", "https://a.b", "OAuth 2 is not supported"),
        ("definitions.https.url", "https://a.b", "definitions can only be imported from files"),
    ],
)
def test_key_that_must_not_be_ignored_is_refused(key, text, reason):
    with pytest.raises(ConfigError, match=rf"^a\.conf:3: {key}: {reason}"):
        made(assigned(key, text), [].append)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("log.exchange", "false"),
        ("ssl_options", "none"),
        ("queue_types.stream.enabled", "true"),
        ("ssl_options.client_renegotiation", "false"),
        ("management.ssl.secure_renegotiate", "true"),
        ("credential_validator.validation_backend", "rabbit_credential_validator_accept_everything"),
    ],
)
def test_key_that_requests_no_change_causes_no_warning(key, text):
    warned = []
    assert made(assigned(key, text), warned.append) == Config()
    assert warned == []


def test_every_key_of_rabbitmq_is_known():
    """Test the keys of the schemas of RabbitMQ 4.0.5, 4.1.8, 4.2.9 and 4.3.5, except those below a plugin's prefix."""
    for key in (Path(__file__).parent / "rabbitmq_keys.txt").read_text().split():
        word = re.sub(r"\$\w+", "1", key)
        assert is_foreign(word) or find(word), key


def test_no_key_is_in_two_tables():
    for setting in SETTINGS:
        for key in (setting.key, *setting.aliases):
            assert not reason_in(LEFT_OUT, key), key
            assert not reason_in(REFUSED, key), key
    for key in LEFT_OUT:
        assert not reason_in(REFUSED, key), key


def test_key_with_the_prefix_of_an_ignored_key_is_unknown():
    with pytest.raises(ConfigError, match=r"^a\.conf:3: there is no setting raft_size"):
        made(assigned("raft_size", "1"), [].append)


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.bc", False),
        ("a.*", "a.", True),
        ("a.*", "b.a.", False),
        ("*.b", "a.b", True),
        ("a.*.b", "a.x.y.b", True),
        ("a.*.b", "a.b", False),
        ("a*a", "a", False),
        ("a*b*c", "axbyc", True),
        ("a*b*c", "axcyb", False),
        ("a*b*b", "ab", False),
        ("*", "", True),
    ],
)
def test_star_of_a_pattern_matches_anything(pattern, key, fits):
    assert matches(key, pattern) == fits == fnmatchcase(key, pattern)


def test_star_is_the_only_special_character_of_the_patterns():
    assert [pattern for pattern in (*LEFT_OUT, *REFUSED) if set(pattern) & set("?[]")] == []

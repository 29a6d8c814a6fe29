import re
from pathlib import Path

import pytest

from amqpbroker.config import SETTINGS, Assignment, Config, ConfigError, Kind, Origin, find
from amqpbroker.config.foreign import LEFT_OUT, REFUSED, is_foreign, reason_in
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
        ("queue_types.stream.enabled", "true"),
        ("management.sample_retention_policies.global.minute", "5"),
    ],
)
def test_what_means_nothing_here_is_left_out_with_a_warning(key, text):
    warned = []
    assert made(assigned(key, text), warned.append) == Config()
    (warning,) = warned
    assert warning.startswith(f"a.conf:3: {key} has no effect: ")


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("proxy_protocol", "true", "clients' addresses cannot be taken"),
        ("credential_validator.min_length", "8", "passwords are not held to rules"),
        ("amqp_client.ssl_options.verify", "verify_peer", "write the options of TLS into the URI of each shovel"),
        ("ssl_options.crl_sources.1.path", "/crl", "lists of revoked certificates are not looked at"),
        ("management.ssl.crl_check", "peer", "lists of revoked certificates are not looked at"),
        ("management.oauth_provider_url", "https://a.b", "there is no OAuth 2"),
        ("definitions.https.url", "https://a.b", "definitions are imported from files only"),
    ],
)
def test_what_must_not_be_left_out_is_refused(key, text, reason):
    with pytest.raises(ConfigError, match=rf"^a\.conf:3: {key}: {reason}"):
        made(assigned(key, text), [].append)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("proxy_protocol", "false"),
        ("log.exchange", "false"),
        ("ssl_options", "none"),
        ("queue_types.stream.enabled", "false"),
        ("ssl_options.client_renegotiation", "false"),
        ("management.ssl.secure_renegotiate", "true"),
        ("credential_validator.validation_backend", "rabbit_credential_validator_accept_everything"),
    ],
)
def test_nothing_is_said_of_what_asks_for_nothing(key, text):
    warned = []
    assert made(assigned(key, text), warned.append) == Config()
    assert warned == []


def test_every_key_of_rabbitmq_is_known():
    """Keys of the schemas of RabbitMQ 4.0.5, 4.1.8, 4.2.9 and 4.3.5, except those below a plugin's prefix."""
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


def test_a_key_that_begins_like_one_that_is_left_out_is_still_unknown():
    with pytest.raises(ConfigError, match=r"^a\.conf:3: there is no setting raft_size"):
        made(assigned("raft_size", "1"), [].append)

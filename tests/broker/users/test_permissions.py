"""Permissions, with texts that RabbitMQ 4.0.5 prints."""

import time
from typing import Literal

import pytest

from amqpbroker.broker.users.permissions import Grant, Permissions, TopicGrant
from amqpbroker.errors import AmqpError


@pytest.fixture
def permissions() -> Permissions:
    made = Permissions("u1", "v1")
    made.grant(Grant(configure="^a", write="b$|amq\\.default$", read=""))
    return made


def allows(permissions: Permissions, permission: Literal["configure", "write", "read"], name: str) -> bool:
    try:
        permissions.check(permission, "queue", name)
    except AmqpError:
        return False
    return True


def test_permission_pattern_matches_anywhere_unless_anchored(permissions: Permissions) -> None:
    assert allows(permissions, "configure", "abc")
    assert not allows(permissions, "configure", "cab")
    assert allows(permissions, "write", "cab")
    assert not allows(permissions, "write", "abc")


def test_an_empty_pattern_allows_nothing(permissions: Permissions) -> None:
    assert not allows(permissions, "read", "abc")


def test_cached_permission_answer_applies_to_one_permission_only(permissions: Permissions) -> None:
    assert allows(permissions, "configure", "ab")
    assert allows(permissions, "configure", "ab")
    assert not allows(permissions, "read", "ab")


def test_error_names_permission_resource_and_user(permissions: Permissions) -> None:
    with pytest.raises(AmqpError) as refused:
        permissions.check("configure", "exchange", "x")
    assert refused.value.text == (
        "ACCESS_REFUSED - configure access to exchange 'x' in vhost 'v1' refused for user 'u1'"
    )


def test_default_exchange_is_named_amq_default(permissions: Permissions) -> None:
    permissions.check("write", "exchange", "")
    with pytest.raises(AmqpError, match=r"read access to exchange 'amq\.default' in vhost"):
        permissions.check("read", "exchange", "")


def test_user_without_granted_permissions_is_refused() -> None:
    assert not allows(Permissions("u1", "v1"), "read", "a")


def test_changed_permission_takes_effect_with_the_next_check(permissions: Permissions) -> None:
    assert allows(permissions, "configure", "abc")
    permissions.grant(Grant("^x", ".*", ".*"))
    assert not allows(permissions, "configure", "abc")
    assert allows(permissions, "read", "abc")
    permissions.revoke()
    assert not allows(permissions, "read", "abc")
    assert permissions.grants is None


def test_cache_of_permission_checks_is_bounded(permissions: Permissions) -> None:
    for number in range(5000):
        permissions.check("configure", "queue", f"a{number}")
    assert len(permissions._allowed) <= 1024


@pytest.mark.parametrize("pattern", ["[", "a(", "[[:alpha:]", "*"])
def test_invalid_permission_pattern_is_refused_and_changes_nothing(permissions: Permissions, pattern: str) -> None:
    with pytest.raises(ValueError, match="invalid regular expression") as refused:
        permissions.grant(Grant(".*", pattern, ".*"))
    assert repr(pattern) in str(refused.value)
    assert permissions.grants == Grant("^a", "b$|amq\\.default$", "")
    assert not allows(permissions, "configure", "cab")


# --- topics -----------------------------------------------------------------------------------------------------------


def test_all_topics_are_allowed_by_default(permissions: Permissions) -> None:
    permissions.check_topic("write", "x", "any.key")
    permissions.grant_topics("x", TopicGrant("^a", "^a"))
    permissions.check_topic("write", "other", "any.key")


def test_topic_permission_is_per_exchange_and_expands_username_and_vhost(permissions: Permissions) -> None:
    permissions.grant_topics("x", TopicGrant(write="^{username}\\.{vhost}\\.", read=""))
    permissions.check_topic("write", "x", "u1.v1.a")
    with pytest.raises(AmqpError) as refused:
        permissions.check_topic("write", "x", "u2.v1.a")
    assert refused.value.text == (
        "ACCESS_REFUSED - write access to topic 'u2.v1.a' in exchange 'x' in vhost 'v1' refused for user 'u1'"
    )
    with pytest.raises(AmqpError, match="read access to topic 'u1"):
        permissions.check_topic("read", "x", "u1.v1.a")


def test_username_in_a_topic_permission_pattern_is_escaped() -> None:
    permissions = Permissions(".*", "/")
    permissions.grant_topics("x", TopicGrant("^{username}$", ""))
    permissions.check_topic("write", "x", ".*")
    with pytest.raises(AmqpError):
        permissions.check_topic("write", "x", "secret")


def test_topic_permissions_can_be_revoked(permissions: Permissions) -> None:
    permissions.grant_topics("x", TopicGrant("^a", "^a"))
    permissions.revoke_topics("x")
    permissions.check_topic("write", "x", "b")
    permissions.revoke_topics("x")
    assert permissions.topic_grants == {}


def test_invalid_topic_permission_pattern_changes_nothing(permissions: Permissions) -> None:
    with pytest.raises(ValueError, match="invalid regular expression"):
        permissions.grant_topics("x", TopicGrant("^a", "("))
    permissions.check_topic("write", "x", "b")
    assert permissions.topic_grants == {}


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$"])
def test_permission_pattern_that_never_ends_allows_nothing(permissions: Permissions, pattern: str) -> None:
    name = "a" * 200 + "!"
    began = time.process_time()
    permissions.grant(Grant(configure=pattern, write=pattern, read=".*"))
    permissions.grant_topics("x", TopicGrant(write=pattern, read=".*"))
    for _ in range(100):
        assert not allows(permissions, "configure", name)
        with pytest.raises(AmqpError):
            permissions.check_topic("write", "x", name)
    assert time.process_time() - began < 1
    assert allows(permissions, "read", name)
    permissions.grant(Grant(configure=pattern, write="", read=""))
    assert allows(permissions, "configure", "aa")

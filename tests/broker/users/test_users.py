from collections.abc import Callable

import pytest

from amqpbroker.broker.users.passwords import encode_hash, hash_password
from amqpbroker.broker.users.permissions import Grant, TopicGrant
from amqpbroker.broker.users.users import Users
from amqpbroker.config import DefaultUser
from amqpbroker.errors import AmqpError


@pytest.fixture
def users() -> Users:
    made = Users()
    made.add_user("ann", "s3cret", ["management"])
    made.set_permissions("ann", "/", ".*", ".*", ".*")
    return made


def test_a_user_logs_in_with_the_password(users: Users) -> None:
    ann = users.authenticate("ann", b"s3cret")
    assert ann is users.user("ann")
    assert ann is not None
    assert (ann.name, ann.tags) == ("ann", ("management",))


@pytest.mark.parametrize(("name", "password"), [("ann", b"wrong"), ("ann", b""), ("bob", b"s3cret"), ("", b"")])
def test_wrong_password_or_unknown_user_cannot_log_in(users: Users, name: str, password: bytes) -> None:
    assert users.authenticate(name, password) is None


@pytest.mark.parametrize("password", [None, ""])
def test_user_without_a_password_cannot_log_in(users: Users, password: str | None) -> None:
    users.add_user("bob", password)
    assert users.authenticate("bob", b"") is None


def test_changed_password_replaces_the_old_one_at_login(users: Users) -> None:
    users.change_password("ann", "new")
    assert users.authenticate("ann", b"s3cret") is None
    assert users.authenticate("ann", b"new")
    users.set_password_hash("ann", encode_hash(hash_password("hashed")))
    assert users.authenticate("ann", b"hashed")
    users.clear_password("ann")
    assert users.authenticate("ann", b"hashed") is None


def test_repr_of_a_user_does_not_show_the_password_hash(users: Users) -> None:
    assert repr(users.user("ann")) == (
        "User(name='ann', tags=('management',), limits={}, hashing='rabbit_password_hashing_sha256')"
    )


def test_logged_in_user_retains_its_tags(users: Users) -> None:
    before = users.user("ann")
    users.set_tags("ann", ["impersonator", "administrator"])
    assert users.user("ann").tags == ("impersonator", "administrator")
    assert before.tags == ("management",)
    assert users.authenticate("ann", b"s3cret")


def test_duplicate_or_empty_user_name_is_refused(users: Users) -> None:
    with pytest.raises(ValueError, match="'ann' already exists"):
        users.add_user("ann", "other")
    with pytest.raises(ValueError, match="name"):
        users.add_user("", "other")
    assert [user.name for user in users.list_users()] == ["ann"]


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.user("bob"),
        lambda users: users.delete_user("bob"),
        lambda users: users.change_password("bob", "x"),
        lambda users: users.set_password_hash("bob", ""),
        lambda users: users.clear_password("bob"),
        lambda users: users.set_tags("bob", []),
        lambda users: users.set_permissions("bob", "/", "", "", ""),
        lambda users: users.clear_permissions("bob", "/"),
        lambda users: users.set_topic_permissions("bob", "/", "x", "", ""),
        lambda users: users.clear_topic_permissions("bob", "/"),
    ],
)
def test_missing_user_cannot_be_changed(users: Users, change: Callable[[Users], object]) -> None:
    with pytest.raises(LookupError, match="user 'bob' does not exist"):
        change(users)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback_users_may_connect_from_this_machine_only(users: Users, host: str, local: bool) -> None:
    assert users.may_log_in_from("guest", host) is local
    assert users.may_log_in_from("ann", host)
    assert Users(loopback_users=[]).may_log_in_from("guest", host)


# --- permissions ------------------------------------------------------------------------------------------------------


def test_user_without_permissions_cannot_access_a_vhost(users: Users) -> None:
    ann = users.user("ann")
    users.permissions(ann, "/").check("read", "queue", "q")
    with pytest.raises(AmqpError) as refused:
        users.permissions(ann, "other")
    assert refused.value.text == "NOT_ALLOWED - access to vhost 'other' refused for user 'ann'"


def test_changed_permissions_apply_to_open_connections(users: Users) -> None:
    ann = users.user("ann")
    held = users.permissions(ann, "/")
    users.set_permissions("ann", "/", "", "", "^a")
    held.check("read", "queue", "a")
    users.clear_permissions("ann", "/")
    with pytest.raises(AmqpError, match="ACCESS_REFUSED"):
        held.check("read", "queue", "a")
    with pytest.raises(AmqpError, match="NOT_ALLOWED"):
        users.permissions(ann, "/")
    users.set_permissions("ann", "/", "", "", "^b")
    held.check("read", "queue", "b")


def test_invalid_permission_pattern_gives_no_access(users: Users) -> None:
    with pytest.raises(ValueError, match="invalid regular expression"):
        users.set_permissions("ann", "other", "(", "", "")
    with pytest.raises(AmqpError):
        users.permissions(users.user("ann"), "other")


def test_deleted_user_has_no_permissions_even_if_recreated(users: Users) -> None:
    held = users.permissions(users.user("ann"), "/")
    users.delete_user("ann")
    assert users.authenticate("ann", b"s3cret") is None
    users.add_user("ann", "s3cret")
    with pytest.raises(AmqpError):
        users.permissions(users.user("ann"), "/")
    users.set_permissions("ann", "/", ".*", ".*", ".*")
    with pytest.raises(AmqpError):
        held.check("read", "queue", "q")


def test_topic_permissions(users: Users) -> None:
    held = users.permissions(users.user("ann"), "/")
    users.set_topic_permissions("ann", "/", "x", "^a", "^a")
    users.set_topic_permissions("ann", "/", "y", "^a", "^a")
    assert users.list_topic_permissions(vhost="/") == [
        ("ann", "/", "x", TopicGrant("^a", "^a")),
        ("ann", "/", "y", TopicGrant("^a", "^a")),
    ]
    with pytest.raises(AmqpError):
        held.check_topic("write", "x", "b")
    users.clear_topic_permissions("ann", "/", "x")
    held.check_topic("write", "x", "b")
    users.clear_topic_permissions("ann", "/")
    held.check_topic("write", "y", "b")


def test_topic_permissions_alone_give_no_access(users: Users) -> None:
    users.set_topic_permissions("ann", "other", "x", "^a", "^a")
    assert users.list_permissions(vhost="other") == []
    with pytest.raises(AmqpError):
        users.permissions(users.user("ann"), "other")


def test_permissions_are_listed_by_user_and_vhost(users: Users) -> None:
    users.add_user("bob")
    users.set_permissions("bob", "/", "a", "b", "c")
    users.set_permissions("bob", "other", "", "", "")
    everything = ("ann", "/", Grant(".*", ".*", ".*"))
    assert users.list_permissions(vhost="/") == [everything, ("bob", "/", Grant("a", "b", "c"))]
    assert users.list_permissions("bob", "other") == [("bob", "other", Grant("", "", ""))]
    users.clear_permissions("bob", "/")
    assert users.list_permissions("bob") == [("bob", "other", Grant("", "", ""))]


def test_permissions_are_deleted_with_their_vhost(users: Users) -> None:
    held = users.permissions(users.user("ann"), "/")
    users.vhost_deleted("/")
    assert users.list_permissions() == []
    with pytest.raises(AmqpError):
        held.check("read", "queue", "q")


def test_changed_permissions_are_reported_with_their_vhost() -> None:
    changed: list[str] = []
    users = Users(on_change=changed.append)
    users.add_user("ann")
    assert changed == []
    users.set_permissions("ann", "a", "", "", "")
    users.set_topic_permissions("ann", "b", "x", "", "")
    users.clear_topic_permissions("ann", "b")
    users.clear_permissions("ann", "a")
    assert changed == ["a", "b", "b", "a"]
    changed.clear()
    users.delete_user("ann")
    assert sorted(changed) == ["a", "b"]


def test_default_users_get_permissions_in_the_vhosts_of_their_pattern() -> None:
    users = Users()
    default = DefaultUser("dora", "pw", ("monitoring",), "^dev-", configure="", write="w", read="r")
    users.add_user("dora")
    users.permit_default(default, ["/", "dev-1", "a-dev-2"])
    assert users.list_permissions() == [("dora", "dev-1", Grant("", "w", "r"))]


def test_user_added_without_a_password_cannot_log_in_with_an_empty_one() -> None:
    users = Users()
    users.add_user("dora")
    assert users.authenticate("dora", b"") is None

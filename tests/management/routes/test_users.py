import base64
import hashlib

import pytest

from tests.management.api import Api

HASH = base64.b64encode(b"salt" + hashlib.sha256(b"salts3cret").digest()).decode()


@pytest.fixture
def api():
    return Api()


async def put(api, body, name="ann"):
    answer = await api.put(f"users/{name}", body)
    return answer.status_code if answer.status_code < 300 else answer.json()


async def logs_in(api, name, password):
    return (await api.get("whoami", auth=(name, password))).status_code == 200


def refused(reason):
    return {"error": "bad_request", "reason": reason}


async def test_user_is_created_and_its_password_replaced(api):
    assert await put(api, {"password": "a", "tags": "management"}) == 201
    assert await logs_in(api, "ann", "a")
    assert await put(api, {"password": "b", "tags": "management"}) == 204
    assert not await logs_in(api, "ann", "a")
    assert await logs_in(api, "ann", "b")


async def test_user_created_with_a_password_hash_is_shown_with_the_hash(api):
    await put(api, {"password_hash": HASH, "tags": "management"})
    assert (await api.get("users/ann")).json() == {
        "name": "ann",
        "password_hash": HASH,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["management"],
        "limits": {},
    }
    assert await logs_in(api, "ann", "s3cret")


@pytest.mark.parametrize("digest", ["sha512", "md5"])
async def test_password_hash_of_another_algorithm_is_valid_until_a_change(api, digest):
    encoded = base64.b64encode(b"salt" + hashlib.new(digest, b"salts3cret").digest()).decode()
    algorithm = f"rabbit_password_hashing_{digest}"
    await put(api, {"password_hash": encoded, "hashing_algorithm": algorithm, "tags": "management"})
    assert (await api.get("users/ann")).json()["hashing_algorithm"] == algorithm
    assert await logs_in(api, "ann", "s3cret")
    await put(api, {"password": "new", "hashing_algorithm": algorithm, "tags": "management"})
    assert (await api.get("users/ann")).json()["hashing_algorithm"] == "rabbit_password_hashing_sha256"
    assert await logs_in(api, "ann", "new")


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ("", []),
        ("administrator, foo", ["administrator", "foo"]),
        (["a", " b "], ["a", "b"]),
        ([5, True, None], ["5", "true", "null"]),
    ],
)
async def test_user_tags_are_accepted_as_a_string_or_a_list(api, given, tags):
    await put(api, {"password": "x", "tags": given})
    assert (await api.get("users/ann")).json()["tags"] == tags


async def test_user_without_password_and_hash_cannot_log_in(api):
    await put(api, {"password": "x", "tags": "management"})
    assert await put(api, {"tags": "management"}) == 204
    assert (await api.get("users/ann")).json()["password_hash"] == ""
    assert not await logs_in(api, "ann", "x")
    assert not await logs_in(api, "ann", "")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"password": "x"}, "tags_not_present"),
        ({}, "tags_not_present"),
        ({"password": "x", "password_hash": HASH, "tags": ""}, "both_password_and_password_hash_are_provided"),
        ({"password_hash": "!!!", "tags": ""}, ["not_base64", "!!!"]),
        ({"password": 5, "tags": ""}, "password is to be a string"),
        ({"password": "x", "tags": 5}, "tags are to be a list, or names with commas between them, not 5"),
        ({"password": "x", "tags": [[]]}, "tags are to be a list, or names with commas between them, not [[]]"),
    ],
)
async def test_refused_user_is_not_created(api, body, reason):
    assert await put(api, body) == refused(reason)
    assert (await api.get("users/ann")).status_code == 404


async def test_changing_a_user_keeps_its_limits_and_permissions(api):
    await put(api, {"password": "x", "tags": ""})
    api.broker.limits.set_user("ann", "max-channels", 3)
    api.broker.users.set_permissions("ann", "/", "a", "b", "c")
    await put(api, {"password": "y", "tags": ""})
    assert (await api.get("users/ann")).json()["limits"] == {"max-channels": 3}
    assert (await api.get("users/ann/permissions")).json() == [
        {"user": "ann", "vhost": "/", "configure": "a", "write": "b", "read": "c"}
    ]


async def test_users_are_listed_by_name(api):
    for name in ("zoe", "ann"):
        api.user(name)
    assert [row["name"] for row in (await api.get("users")).json()] == ["ann", "guest", "zoe"]
    assert [row["name"] for row in (await api.get("users?page=1&name=zo")).json()["items"]] == ["zoe"]
    assert [row["name"] for row in (await api.get("users/without-permissions")).json()] == ["ann", "zoe"]


async def test_deleted_object_is_gone(api):
    api.user("ann", vhosts=["/"])
    assert (await api.delete("users/ann")).status_code == 204
    assert (await api.delete("users/ann")).json() == {"error": "Object Not Found", "reason": "Not Found"}
    assert [row["user"] for row in (await api.get("permissions")).json()] == ["guest"]


async def test_bulk_delete_removes_several_users(api):
    for name in ("ann", "bob"):
        api.user(name)
    assert (await api.post("users/bulk-delete", {"users": ["ann", "nobody", "bob", "ann"]})).status_code == 204
    assert [row["name"] for row in (await api.get("users")).json()] == ["guest"]
    assert (await api.post("users/bulk-delete", {})).json() == refused("[{key_missing,users}]")
    for wrong in ("x", [1], ["guest", None]):
        answer = await api.post("users/bulk-delete", {"users": wrong})
        assert (answer.status_code, answer.json()) == (400, refused("users is to be a list of names"))
    assert api.broker.users.has("guest")
    assert (await api.get("users/bulk-delete")).headers["allow"] == "POST, OPTIONS"


async def test_permissions_of_a_user_are_listed(api):
    api.user("ann")
    assert (await api.get("users/ann/permissions")).json() == []
    api.broker.users.set_topic_permissions("ann", "/", "amq.topic", "w", "r")
    assert (await api.get("users/ann/topic-permissions")).json() == [
        {"user": "ann", "vhost": "/", "exchange": "amq.topic", "write": "w", "read": "r"}
    ]
    assert (await api.get("users/nobody/permissions")).status_code == 404
    assert (await api.get("users/nobody/topic-permissions")).status_code == 404

from amqpbroker.compat import OLDEST_COMPAT
from amqpbroker.config import Config
from amqpbroker.wire.values import longstr
from tests.broker.batches.batching import batch_headers
from tests.harness import Wire
from tests.management.api import Api


def published(api: Api, **batches: int) -> Wire:
    """Publish two members of batches with these sizes, and reject the first member of each."""
    client = Wire(api.broker).log_in()
    client.declare("q")
    client.declare("events")
    for name, size in batches.items():
        for number in b"1", b"2":
            headers = batch_headers(name, size=size)
            client.publish("q", b"", headers=headers, message_id=number, delivery_mode=2)
    client.receive()
    for _ in range(2 * len(batches)):
        got = client.call(1, "basic.get", queue="q")
        if got.properties is not None and got.properties["message_id"] == b"1":
            client.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
    client.receive()
    return client


async def test_batch_shows_its_members_and_failures() -> None:
    api = Api()
    published(api, b=3)
    row = {
        "id": "b",
        "vhost": "/",
        "state": "open",
        "user": "guest",
        "size": 3,
        "members": 2,
        "ok": 0,
        "failed": 1,
        "open": 1,
        "exchange": "",
        "routing_key": "events",
        "events": ["complete"],
        "created_at": "1970-01-01T00:16:40.000+00:00",
        "expires_at": "1970-01-02T00:16:40.000+00:00",
    }
    assert (await api.get("batches")).json() == [row]
    assert (await api.get("batches/%2F")).json() == [row]
    failures = [{"message_id": "1", "queue": "q", "reason": "rejected"}]
    assert (await api.get("batches/%2F/b")).json() == {**row, "failures": failures}


async def test_batches_are_listed_in_pages_by_id() -> None:
    api = Api()
    published(api, c=3, a=3, b=3)
    answer = (await api.get("batches/%2F?page=2&page_size=2")).json()
    assert [each["id"] for each in answer["items"]] == ["c"]
    assert answer["total_count"] == 3


async def test_batch_that_is_absent_or_in_another_vhost_is_not_found() -> None:
    api = Api()
    published(api, b=3)
    other = api.user("other", vhosts=())
    assert (await api.get("batches/%2F/c")).status_code == 404
    assert (await api.get("batches/nowhere/b")).status_code == 404
    assert (await api.get("batches/%2F/b", auth=other)).status_code == 401
    assert (await api.get("batches", auth=other)).json() == []


async def test_member_that_is_published_over_http_counts() -> None:
    api = Api()
    published(api, b=4)
    for queue, routed in ("q", True), ("nowhere", False):
        body = {
            "properties": {"message_id": queue, "headers": {"x-batch-id": "b", "x-batch-size": 4}},
            "routing_key": queue,
            "payload": "x",
            "payload_encoding": "string",
        }
        answer = await api.post("exchanges/%2F/amq.default/publish", body)
        assert answer.json() == {"routed": routed}
    batch = (await api.get("batches/%2F/b")).json()
    assert (batch["failed"], batch["open"]) == (2, 2)


async def test_deleted_batch_is_forgotten_and_its_members_stay() -> None:
    api = Api()
    client = published(api, b=3)
    client.publish("q", b"", headers=batch_headers("b"), message_id=b"3")
    client.receive()
    assert (await api.delete("batches/%2F/b")).status_code == 204
    assert (await api.get("batches/%2F/b")).status_code == 404
    assert (await api.delete("batches/%2F/b")).status_code == 404
    assert (await api.get("batches")).json() == []
    assert client.depth("q") == 1


async def test_batches_are_deleted_by_their_users_and_by_those_who_may_delete_the_target() -> None:
    api = Api()
    published(api, mine=3, theirs=3, named=3)
    users = api.broker.users
    for name, configured in ("owner", ""), ("other", "^q$"), ("operator", "^amq.default$"):
        users.add_user(name, "p", ("management",))
        users.set_permissions(name, "/", configured, ".*", ".*")
    own = Wire(api.broker).log_in(user="owner", password="p")
    own.publish("q", b"", headers=batch_headers("own"), message_id=b"1")
    own.receive()
    shown = await api.get("batches/%2F/own", auth=("owner", "p"))
    assert shown.json()["user"] == "owner"
    for user, id_, status in (
        ("other", "own", 401),
        ("owner", "mine", 401),
        ("owner", "own", 204),
        ("operator", "mine", 204),
    ):
        assert (await api.delete(f"batches/%2F/{id_}", auth=(user, "p"))).status_code == status


async def test_batches_without_extensions_cannot_be_deleted() -> None:
    api = Api(Config(compat=OLDEST_COMPAT._replace(extensions=False)))
    assert (await api.delete("batches/%2F/b")).status_code == 404


async def test_batch_is_visible_to_users_who_may_read_its_event_messages() -> None:
    api = Api()
    published(api, b=3)
    login = api.user("u")
    for readable, status in ("^(q|amq\\.default)$", 401), ("^events$", 200):
        api.broker.users.set_permissions("u", "/", "", ".*", readable)
        assert (await api.get("batches/%2F/b", auth=login)).status_code == status
        for path in "batches", "batches/%2F":
            shown = [each["id"] for each in (await api.get(path, auth=login)).json()]
            assert shown == (["b"] if status == 200 else [])


async def test_batch_with_an_exchange_as_its_target_requires_permission_to_read_the_exchange() -> None:
    api = Api()
    client = Wire(api.broker).log_in()
    client.declare("q")
    headers = {**batch_headers("b", size=2), "x-batch-exchange": longstr("amq.topic")}
    client.publish("q", b"", headers=headers, message_id=b"1")
    client.receive()
    assert (await api.get("batches/%2F/b")).json()["exchange"] == "amq.topic"
    login = api.user("u")
    for readable, status in ("^events$", 401), ("^amq.topic$", 200):
        api.broker.users.set_permissions("u", "/", "", ".*", readable)
        assert (await api.get("batches/%2F/b", auth=login)).status_code == status


async def test_batch_without_a_target_requires_permission_to_read_the_default_exchange() -> None:
    api = Api()
    client = Wire(api.broker).log_in()
    client.declare("q")
    client.publish("q", b"", headers={"x-batch-id": longstr("b")}, message_id=b"1")
    client.receive()
    assert (await api.get("batches/%2F/b")).json()["exchange"] is None
    login = api.user("u")
    for readable, status in ("^$", 401), ("^amq.default$", 200):
        api.broker.users.set_permissions("u", "/", "", ".*", readable)
        assert (await api.get("batches/%2F/b", auth=login)).status_code == status

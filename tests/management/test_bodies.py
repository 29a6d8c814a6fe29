"""Bodies of requests: limits, permissions of senders, and permissions that change before the body is complete."""

import asyncio
import base64
import json

import pytest

from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.management.bodies import SMALL_BYTES, Bodies
from tests.management.api import Api

MB = 1_000_000
#: Number of messages that one request handles in several slices.
COUNT = 2 * BOUNDS.slice_count + 50


class Upload:
    """Request whose body the test sends in parts. read: number of bytes that the application has read."""

    def __init__(self, api, method, path, auth=("guest", "guest"), headers=()):
        login = [(b"authorization", b"Basic " + base64.b64encode(":".join(auth).encode()))] if auth else []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [*login, *headers],
            "client": ("127.0.0.1", 50_000),
        }
        self.read = 0
        self.answer = b""
        self.status = None
        self._parts = asyncio.Queue()
        self._task = asyncio.ensure_future(api.app(scope, self._receive, self._send))

    async def _receive(self):
        part, more = await self._parts.get()
        self.read += len(part)
        return {"type": "http.request", "body": part, "more_body": more}

    async def _send(self, message):
        self.status = message.get("status", self.status)
        self.answer += message.get("body", b"")

    async def send(self, part, more=True):
        self._parts.put_nowait((part, more))
        for _ in range(10):
            await asyncio.sleep(0)

    async def end(self, part=b""):
        """Send the last part; return the status."""
        await self.send(part, more=False)
        await asyncio.wait_for(self._task, 10)
        return self.status

    async def done(self):
        """Return the status of the answer to the parts sent so far."""
        await asyncio.wait_for(self._task, 10)
        return self.status


@pytest.fixture
def api():
    return Api()


# --- permissions of the sender ----------------------------------------------------------------------------------------


def new_user(upload):
    return upload.end(json.dumps({"password": "p", "tags": "administrator"}).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.delete_user("ada"),
        lambda users: (users.delete_user("ada"), users.add_user("ada", "p", ("administrator",))),
        lambda users: users.change_password("ada", "other"),
        lambda users: users.clear_password("ada"),
        lambda users: users.set_tags("ada", ("monitoring",)),
        lambda users: users.set_tags("ada", ()),
    ],
    ids=["deleted", "deleted and made anew", "password changed", "password cleared", "demoted", "tags taken"],
)
async def test_request_of_a_user_who_lost_the_permission_is_refused(api, change):
    ada = api.user("ada", tags=("administrator",))
    upload = Upload(api, "PUT", "/api/users/mallory", ada)
    await upload.send(b" ")
    change(api.broker.users)
    assert await new_user(upload) == 401
    assert not api.broker.users.has("mallory")


async def test_request_of_a_user_who_keeps_the_permission_is_accepted(api):
    ada = api.user("ada", tags=("administrator",))
    upload = Upload(api, "PUT", "/api/users/eve", ada)
    await upload.send(b" ")
    api.broker.users.set_tags("ada", ("administrator", "policymaker"))
    api.broker.users.set_limits("ada", {"max-connections": 1})
    assert await new_user(upload) == 201


async def test_pending_request_is_refused_after_its_user_logs_out(api):
    login = await api.post("login", auth=None, data={"username": "guest", "password": "guest"})
    cookie = login.headers["set-cookie"].partition(";")[0].encode()
    headers = [(b"cookie", cookie), (b"x-requested-with", b"fetch")]
    upload, late = (Upload(api, "PUT", f"/api/users/{name}", None, headers) for name in ("eve", "mallory"))
    await late.send(b" ")
    assert await new_user(upload) == 201
    await api.delete("login", auth=None, headers={"Cookie": cookie.decode(), "X-Requested-With": "fetch"})
    assert await new_user(late) == 401
    assert not api.broker.users.has("mallory")


async def test_vhost_deleted_while_the_body_is_read_is_not_found(api):
    api.broker.add_vhost("v")
    upload = Upload(api, "PUT", "/api/queues/v/q")
    await upload.send(b" ")
    api.broker.delete_vhost("v")
    assert await upload.end(b"{}") == 404


async def test_permissions_changed_while_the_body_is_read_take_effect(api):
    ann = api.user("ann", vhosts=["/"])
    uploads = [Upload(api, "PUT", f"/api/queues/%2F/{name}", ann) for name in "ab"]
    for upload in uploads:
        await upload.send(b" ")
    api.broker.users.set_permissions("ann", "/", "^b$", "", "")
    assert await uploads[0].end(b"{}") == 401
    assert await uploads[1].end(b"{}") == 201
    assert set(api.broker.vhosts["/"].queues) == {"b"}


async def until(api, done):
    for _ in range(10_000):
        if done():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


async def filled(api, count):
    for name in ("from", "to"):
        await api.put(f"queues/%2F/{name}", {})
    message = {"properties": {}, "routing_key": "from", "payload": "x", "payload_encoding": "string"}
    for _ in range(count):
        await api.post("exchanges/%2F/amq.default/publish", message)
    return api.broker.vhosts["/"].queues


@pytest.mark.parametrize(
    "change",
    [
        lambda users: users.delete_user("ann"),
        lambda users: users.set_permissions("ann", "/", ".*", "^from$", ".*"),
        lambda users: users.set_permissions("ann", "/", ".*", ".*", "^to$"),
        lambda users: users.set_tags("ann", ()),
    ],
    ids=["deleted", "may not write", "may not read", "tags taken"],
)
async def test_move_stops_when_its_user_loses_the_permission(api, change):
    queues = await filled(api, COUNT)
    ann = api.user("ann", vhosts=["/"])
    moving = asyncio.ensure_future(api.post("queues/%2F/from/move", {"destination": "to"}, auth=ann))
    await until(api, lambda: queues["to"].ready_count)
    change(api.broker.users)
    moved = queues["to"].ready_count
    assert (await moving).status_code == 401
    assert queues["to"].ready_count == moved < COUNT


async def test_getting_messages_stops_when_the_user_is_deleted(api):
    queues = await filled(api, COUNT)
    ann = api.user("ann", vhosts=["/"])
    wanted = {"count": COUNT, "ackmode": "ack_requeue_true", "encoding": "auto"}
    getting = asyncio.ensure_future(api.post("queues/%2F/from/get", wanted, auth=ann))
    await until(api, lambda: queues["from"].unacked_count)
    api.broker.users.delete_user("ann")
    assert (await getting).status_code == 401
    assert queues["from"].ready_count == COUNT


async def test_import_of_a_user_deleted_meanwhile_is_refused(api, monkeypatch):
    """Nothing is imported if the sender is deleted before the first definition is, and nothing more if later."""
    ada = api.user("ada", tags=("administrator",))
    document = {"vhosts": [{"name": f"v{number}"} for number in range(200)]}
    for begun, most in ((False, 0), (True, 199)):
        importing = asyncio.ensure_future(api.post("definitions", document, auth=ada))
        await until(api, lambda: "v10" in api.broker.vhosts) if begun else await asyncio.sleep(0)
        api.broker.users.delete_user("ada")
        assert (await importing).status_code == 401
        assert sum(name.startswith("v") for name in api.broker.vhosts) <= most
        api.user("ada", tags=("administrator",))


async def test_import_completes_although_it_demotes_the_importing_user(api):
    document = {
        "users": [{"name": "guest", "password": "other", "tags": ["monitoring"]}],
        "vhosts": [{"name": f"v{number}"} for number in range(200)],
    }
    assert (await api.post("definitions", document)).status_code == 204
    assert "v199" in api.broker.vhosts


@pytest.mark.parametrize("path", ["definitions", "queues"])
async def test_slow_response_is_not_sent_to_a_user_deleted_meanwhile(api, path):
    for number in range(2000):
        api.broker.vhosts["/"].declare_queue(f"q{number}", True, False, False, {}, None, False)
    ada = api.user("ada", tags=("administrator",))
    asked = asyncio.ensure_future(api.get(path, auth=ada))
    for _ in range(3):
        await asyncio.sleep(0)
    api.broker.users.delete_user("ada")
    assert (await asked).status_code == 401


async def test_long_response_is_cut_off_when_its_user_is_deleted(api):
    """The answer has no end, so that a client can tell that it is incomplete."""
    for number in range(3000):
        api.broker.vhosts["/"].declare_queue(f"q{number}", True, False, False, {}, None, False)
    ada = api.user("ada", tags=("administrator",))
    download = Upload(api, "GET", "/api/queues", ada)
    await until(api, lambda: download.answer)
    api.broker.users.delete_user("ada")
    assert await download.done() == 200
    assert 0 < download.answer.count(b'"name"') < 3000
    assert not download.answer.endswith(b"]")


# --- limits of reading ------------------------------------------------------------------------------------------------

ANY_LENGTH = [(b"transfer-encoding", b"chunked")]


def long_as(size):
    return [(b"content-length", str(size).encode())]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/queues/%2F/q"),
        ("PUT", "/api/exchanges/%2F/x"),
        ("POST", "/api/exchanges/%2F/amq.direct/publish"),
        ("POST", "/api/queues/%2F/q/get"),
        ("POST", "/api/queues/%2F/q/move"),
        ("POST", "/api/queues/%2F/q/actions"),
        ("POST", "/api/bindings/%2F/e/amq.direct/q/q"),
        ("POST", "/api/bindings/%2F/e/amq.direct/e/amq.fanout"),
        ("POST", "/api/login"),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_at_most_a_small_body_is_read_from_a_user_without_permission(api, method, path, announced):
    nobody = api.user("nobody")
    api.broker.users.set_permissions("nobody", "/", "", "", "")
    upload = Upload(api, method, path, nobody, long_as(10 * MB) if announced else ANY_LENGTH)
    for _ in range(10):
        await upload.send(bytes(20_000))
    assert await upload.done() in (400, 401)
    assert upload.read <= (0 if announced else SMALL_BYTES + 20_000)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/queues/%2F/q"),
        ("DELETE", "/api/login"),
        ("GET", "/api/overview"),
        ("PUT", "/api/feature-flags/all/enable"),
        ("POST", "/api/rebalance/queues"),
        ("POST", "/api/vhosts/%2F/deletion/protection"),
        ("DELETE", "/api/users/nobody"),
        ("POST", "/api/overview"),
        ("PUT", "/api/nothing"),
        ("PUT", "/index.html"),
    ],
)
async def test_request_body_is_not_read_if_the_resource_expects_none(api, method, path):
    upload = Upload(api, method, path, headers=ANY_LENGTH)
    await upload.send(bytes(20_000))
    assert await upload.done() < 500
    assert upload.read == 0


@pytest.mark.parametrize(
    ("auth", "path"),
    [
        (None, "/api/definitions"),
        (("guest", "wrong"), "/api/definitions"),
        (("manager", "p"), "/api/definitions"),
        (("manager", "p"), "/api/definitions/%2F"),
        (("manager", "p"), "/api/users/bulk-delete"),
        (("manager", "p"), "/api/queues/other/q/get"),
    ],
)
async def test_request_body_of_a_user_without_access_is_not_read(api, auth, path):
    api.broker.add_vhost("other")
    api.user("manager", vhosts=["/"])
    form = [(b"content-type", b"multipart/form-data; boundary=x"), *ANY_LENGTH]
    upload = Upload(api, "POST", path, auth, form)
    await upload.send(bytes(20_000))
    assert await upload.done() == 401
    assert upload.read == 0


@pytest.mark.parametrize("headers", [long_as(BOUNDS.body_bytes + 1), ANY_LENGTH])
async def test_too_large_request_body_is_not_read_to_its_end(api, headers):
    upload = Upload(api, "POST", "/api/definitions", headers=headers)
    for _ in range(25):
        await upload.send(bytes(MB))
    assert await upload.done() == 400
    assert f"limit of {BOUNDS.body_bytes} bytes".encode() in upload.answer
    assert upload.read <= BOUNDS.body_bytes + MB


async def test_total_size_of_request_bodies_is_limited():
    api = Api(Config(bounds=Bounds(bodies_bytes=10 * MB)))
    uploads = [Upload(api, "PUT", f"/api/queues/%2F/{number}") for number in range(25)]
    for upload in uploads:
        await upload.send(b" " * MB)
    assert [upload.status for upload in uploads] == [None] * 10 + [503] * 15
    small = Upload(api, "PUT", "/api/queues/%2F/small")
    assert await small.end(b"{}") == 201
    assert [await upload.end(b"{}") for upload in uploads[:10]] == [503] + [201] * 9
    again = [Upload(api, "PUT", f"/api/queues/%2F/again{number}") for number in range(25)]
    for upload in again:
        await upload.send(b" " * (MB // 10))
        assert await upload.end(b"{}") == 201


async def test_memory_quota_of_a_request_body_is_released_after_success_and_error():
    bodies = Bodies()

    class Request:
        headers = {}

        async def stream(self):
            for _ in range(3):
                yield bytes(SMALL_BYTES)

    def refuse():
        raise PermissionError

    for _ in range(3):
        with bodies.one() as body:
            assert len(await body.read(Request(), BOUNDS.body_bytes, lambda: None, lambda: None)) == 3 * SMALL_BYTES
            assert bodies.total_bytes == 3 * SMALL_BYTES
        assert bodies.total_bytes == 0
        for most, check in ((2 * SMALL_BYTES, lambda: None), (BOUNDS.body_bytes, refuse)):
            with pytest.raises(Exception), bodies.one() as body:  # noqa: B017, PT011
                await body.read(Request(), most, check, lambda: None)
            assert bodies.total_bytes == 0

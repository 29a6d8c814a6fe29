import pytest

from amqpbroker.config import Config, Management
from amqpbroker.config.bounds import Bounds
from amqpbroker.errors import AmqpError
from amqpbroker.management.call import Answer
from amqpbroker.management.identity import Access
from amqpbroker.management.nesting import MAX_BODY_LEVELS
from amqpbroker.management.resource import Resource
from tests.management.api import Api


def echo(call):
    return {"path": dict(call.path), "body": call.body()}


async def slow(call):
    return call.need("a", "b")


def broken(call):
    raise RuntimeError("secret")


def refused(call):
    raise AmqpError(int(call.query["code"]), "the explanation")


THINGS = (
    Resource("/echo/{vhost}/{name}", Access.VISIBLE, get=echo, put=echo, change=Access.VHOST),
    Resource("/slow", Access.USER, post=slow),
    Resource("/users", Access.USER, get=lambda call: {}),
    Resource("/broken", Access.USER, get=broken),
    Resource("/refused", Access.USER, get=refused),
    Resource("/teapot", Access.ANYBODY, get=lambda call: Answer(418, {"short": True}, {"x-stout": "no"})),
    Resource("/admins", Access.ADMIN, get=lambda call: {}),
    Resource("/monitors", Access.MONITOR, get=lambda call: {}),
    Resource("/policies/{vhost}", Access.POLICYMAKER, get=lambda call: {}),
)


@pytest.fixture
def api():
    return Api(resources=THINGS)


# --- paths ------------------------------------------------------------------------------------------------------------


async def test_percent_encoded_slash_is_part_of_a_name(api):
    answer = await api.get("echo/%2F/a%2Fb%20c")
    assert answer.json() == {"path": {"vhost": "/", "name": "a/b c"}, "body": {}}


async def test_one_trailing_slash_of_a_path_is_ignored(api):
    assert (await api.get("echo/%2F/q/")).json()["path"] == {"vhost": "/", "name": "q"}
    assert (await api.get("echo/%2F/q//")).status_code == 404


@pytest.mark.parametrize("directory", ["/api", "/cli"])
@pytest.mark.parametrize("prefix", ["", "/rabbit"])
async def test_directory_redirects_to_its_index_page(directory, prefix):
    api = Api(Config(management=Management(path_prefix=prefix)))
    for slash in ("", "/"):
        answer = await api.get(prefix + directory + slash, auth=None)
        assert (answer.status_code, answer.headers["location"]) == (301, f"{prefix}{directory}/index.html")


async def test_an_unknown_vhost_is_not_found(api):
    answer = await api.get("echo/nope/q")
    assert (answer.status_code, answer.json()) == (404, {"error": "Object Not Found", "reason": "Not Found"})
    answer = await api.put("echo/nope/q")
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found", "reason": "vhost_not_found"})


async def test_user_without_a_tag_cannot_find_out_whether_a_vhost_exists(api):
    nobody = api.user("nobody", tags=())
    assert await reason(api, "echo/nope/q", nobody) == await reason(api, "echo/%2F/q", nobody) == "Not management user"


async def test_an_unknown_path_is_not_found_even_without_a_login(api):
    assert (await api.get("nope")).json() == {"error": "Object Not Found", "reason": "Not Found"}
    assert (await api.get("nope", auth=None)).status_code == 404


async def test_wrong_method_is_refused_with_the_allowed_methods(api):
    answer = await api.delete("echo/%2F/q")
    assert (answer.status_code, answer.headers["allow"]) == (405, "HEAD, GET, PUT, OPTIONS")
    answer = await api.request("OPTIONS", "echo/%2F/q")
    assert (answer.status_code, answer.headers["allow"]) == (200, "HEAD, GET, PUT, OPTIONS")


async def test_path_prefix_applies_to_the_api_and_pages():
    api = Api(Config(management=Management(path_prefix="/rabbit")), resources=THINGS)
    assert (await api.get("/rabbit/api/echo/%2F/q")).status_code == 200
    assert (await api.get("/api/echo/%2F/q")).status_code == 404
    assert (await api.get("/rabbitx/api/echo/%2F/q")).status_code == 404
    assert (await api.get("/rabbit")).headers["location"] == "/rabbit/"
    assert (await api.get("/rabbit/api")).headers["location"] == "/rabbit/api/index.html"
    assert "amqpbroker" in (await api.get("/rabbit/")).text
    assert (await api.get("/rabbit/api/echo/%2F/q/")).status_code == 200


@pytest.mark.parametrize(("prefix", "path"), [("", "/api"), ("/rabbit", "/rabbit/api")])
async def test_login_cookie_has_the_path_of_the_api_with_its_prefix(prefix, path):
    api = Api(Config(management=Management(path_prefix=prefix)))
    form = {"username": "guest", "password": "guest"}
    answer = await api.post(f"{prefix}/api/login", auth=None, data=form)
    assert f"; Path={path};" in answer.headers["set-cookie"]


# --- bodies -----------------------------------------------------------------------------------------------------------


async def test_request_body_is_an_object_or_empty(api):
    assert (await api.put("echo/%2F/q", json={"a": 1})).json()["body"] == {"a": 1}
    assert (await api.put("echo/%2F/q")).json()["body"] == {}


async def test_first_value_of_a_repeated_query_parameter_is_used(api):
    assert (await api.get("echo/%2F/q?columns=path&columns=body")).json() == {"path": {"vhost": "/", "name": "q"}}


async def test_request_body_null_counts_as_empty(api):
    assert (await api.put("echo/%2F/q", content="null")).json()["body"] == {}


@pytest.mark.parametrize("content", ["{bad", "[1]", "[]", "1", "true"])
async def test_request_body_that_is_not_a_json_object_is_refused(api, content):
    answer = await api.put("echo/%2F/q", content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": "bad_request", "reason": "not_json"})


async def test_number_in_a_request_body_that_is_too_large_is_named(api):
    answer = await api.put("echo/%2F/q", content='{"offset": ' + "9" * 5000 + "}")
    assert answer.status_code == 400
    assert answer.json()["reason"].startswith("the number at line 1, column 12 is too large")


async def test_request_body_encoded_twice_as_json_is_refused_with_a_hint(api):
    answer = await api.put("echo/%2F/q", content='"{}"')
    assert answer.status_code == 400
    assert answer.json()["reason"].endswith(
        "the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"
    )


async def test_a_body_that_is_nested_too_deeply_is_refused(api):
    def body(levels):
        return '{"a":' * levels + "1" + "}" * levels

    assert (await api.put("echo/%2F/q", content=body(MAX_BODY_LEVELS))).status_code == 200
    answer = await api.put("echo/%2F/q", content=body(MAX_BODY_LEVELS + 1))
    reason = "nested too deeply: there may be 66 objects and lists inside one another"
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)


async def test_error_of_missing_keys_names_each_key(api):
    answer = await api.post("slow", json={})
    assert answer.status_code == 400
    assert answer.json()["reason"] == "[{key_missing,a},{key_missing,b}]"


async def test_request_body_above_the_limit_is_refused():
    api = Api(Config(bounds=Bounds(body_bytes=10)), resources=THINGS)
    answer = await api.put("echo/%2F/q", content=b'{"a": "12345"}')
    assert answer.status_code == 400
    assert "limit of 10 bytes" in answer.json()["reason"]


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_internal_error_is_a_500_without_details(api, caplog):
    answer = await api.get("broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("code", "status", "error", "reason"),
    [
        (403, 401, "not_authorised", "Access refused."),
        (404, 404, "not_found", "the explanation"),
        (405, 400, "bad_request", "the explanation"),
        (406, 400, "bad_request", "the explanation"),
    ],
)
async def test_amqp_errors_become_http_errors(api, code, status, error, reason):
    answer = await api.get(f"refused?code={code}")
    assert (answer.status_code, answer.json()) == (status, {"error": error, "reason": reason})


# --- answers ----------------------------------------------------------------------------------------------------------


async def test_response_has_status_body_and_headers_of_the_handler(api):
    answer = await api.get("teapot")
    assert (answer.status_code, answer.json(), answer.headers["x-stout"]) == (418, {"short": True}, "no")
    assert answer.headers["content-type"] == "application/json"


async def test_every_answer_has_the_security_headers(api):
    for path in ("teapot", "nope", "echo/%2F/q"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"


async def test_query_parameter_columns_selects_keys_of_an_object(api):
    assert (await api.get("echo/%2F/q?columns=path.name")).json() == {"path": {"name": "q"}}


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_request_without_credentials_is_challenged_for_basic_auth(api):
    answer = await api.get("echo/%2F/q", auth=None)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"] == 'Basic realm="RabbitMQ Management"'


async def test_request_of_the_management_page_gets_no_basic_auth_challenge(api):
    answer = await api.get("echo/%2F/q", auth=None, headers={"X-Requested-With": "fetch"})
    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers


async def reason(api, path, auth):
    answer = await api.get(path, auth=auth)
    return answer.json().get("reason") if answer.status_code == 401 else answer.status_code


async def test_each_user_tag_gives_access_to_its_resources(api):
    nobody = api.user("nobody", tags=())
    manager = api.user("manager", tags=("management",), vhosts=["/"])
    stranger = api.user("stranger", tags=("management",))
    watcher = api.user("watcher", tags=("monitoring",))
    maker = api.user("maker", tags=("policymaker",), vhosts=["/"])
    no_vhost = "User not authorised to access virtual host"
    expected = {
        "users": {nobody: "Not management user"},
        "echo/%2F/q": {nobody: "Not management user", stranger: no_vhost},
        "admins": {
            nobody: "Not management user",
            **dict.fromkeys((manager, stranger, watcher, maker), "Not administrator user"),
        },
        "monitors": {
            nobody: "Not management user",
            **dict.fromkeys((manager, stranger, maker), "Not monitor user"),
        },
        "policies/%2F": {
            nobody: "Not management user",
            **dict.fromkeys((manager, stranger, watcher), "User not authorised to access object"),
        },
    }
    for path, refusals in expected.items():
        for auth in (nobody, manager, stranger, watcher, maker, ("guest", "guest")):
            assert await reason(api, path, auth) == refusals.get(auth, 200), (path, auth)


async def test_administrator_has_access_to_every_vhost(api):
    assert await reason(api, "echo/%2F/q", api.user("ada", tags=("administrator",))) == 200
    assert await reason(api, "policies/%2F", ("ada", "p")) == 200


async def test_monitoring_user_cannot_change_a_resource_of_a_vhost(api):
    watcher = api.user("watcher", tags=("monitoring",))
    assert (await api.get("echo/%2F/q", auth=watcher)).status_code == 200
    answer = await api.put("echo/%2F/q", auth=watcher)
    assert (answer.status_code, answer.json()["reason"]) == (401, "User not authorised to access virtual host")

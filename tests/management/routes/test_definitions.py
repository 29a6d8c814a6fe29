import json

import pytest

from amqpbroker.management.definitions.export import exported, written
from tests.management.api import Api

QUEUE = {"queues": [{"vhost": "/", "name": "q", "durable": True}]}


@pytest.fixture
def api():
    return Api()


def queues(api, vhost="/"):
    return list(api.broker.vhosts[vhost].queues)


@pytest.mark.parametrize("path", ["definitions", "all-configuration"])
async def test_exported_definitions_are_imported_unchanged(api, path):
    assert (await api.post(path, QUEUE)).status_code == 204
    document = (await api.get(path)).json()
    assert document["rabbitmq_definition_format"] == "cluster"
    other = Api()
    assert (await other.post(path, document)).status_code == 204
    assert (await other.get(path)).json() == document


async def test_definitions_are_uploaded_and_downloaded_as_a_file(api):
    assert (await api.post("definitions", files={"file": ("d.json", json.dumps(QUEUE))})).status_code == 204
    assert queues(api) == ["q"]
    answer = await api.get("definitions?download=my%20file.json")
    assert answer.headers["content-disposition"] == "attachment; filename=my_file.json"
    assert "content-disposition" not in (await api.get("definitions")).headers


async def test_definitions_of_one_vhost_are_exported_and_imported(api):
    await api.put("vhosts/new")
    assert (await api.post("definitions/new", QUEUE)).status_code == 204
    assert (queues(api), queues(api, "new")) == ([], ["q"])
    document = (await api.get("definitions/new")).json()
    assert document["rabbitmq_definition_format"] == "single_virtual_host"
    assert document["queues"] == [
        {"name": "q", "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "classic"}}
    ]
    answer = await api.get("definitions/nope")
    assert (answer.status_code, answer.json()["reason"]) == (400, "vhost_not_found")
    answer = await api.post("definitions/nope", QUEUE)
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found", "reason": "vhost_not_found"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "failed_to_parse_json"),
        (
            '{"queues":' + "9" * 5000 + "}",
            "the number at line 1, column 11 is too large: write one between -1.8e308 and 1.8e308",
        ),
        ('{"users":[{"name":"x"}]}', "tags_not_present"),
        ('{"queues":[{"vhost":"/","name":"x","arguments":5}]}', "arguments are to be an object"),
    ],
)
async def test_invalid_request_is_refused_with_a_reason(api, content, reason):
    answer = await api.post("definitions", content=content)
    assert (answer.status_code, answer.json()) == (400, {"error": "bad_request", "reason": reason})


async def test_user_who_imports_over_http_gets_permissions_in_new_vhosts(api):
    ada = api.user("ada", tags=("administrator",))
    await api.post("definitions", {"vhosts": [{"name": "new"}]}, auth=ada)
    assert [row["user"] for row in (await api.get("vhosts/new/permissions")).json()] == ["ada"]


async def test_exported_definitions_omit_exclusive_queues_and_their_bindings(api):
    vhost = api.broker.vhosts["/"]
    queue = vhost.declare_queue("mine", False, True, False, {}, session=object())
    vhost.bind(vhost.exchanges["amq.topic"], queue, b"a", {})
    document = (await api.get("definitions")).json()
    assert (document["queues"], document["bindings"]) == ([], [])


async def test_large_definitions_are_streamed(api):
    vhost = api.broker.vhosts["/"]
    for number in range(10_000):
        vhost.declare_queue(f"queue-{number:05}", True, False, False, {})
    answer = await api.get("definitions?download=d.json")
    assert "content-length" not in answer.headers
    assert answer.headers["content-disposition"] == "attachment; filename=d.json"
    assert [row["name"] for row in answer.json()["queues"]] == list(vhost.queues)
    parts = written(exported(api.broker), api.broker.config.bounds.rows)
    sizes = [len(part) async for part in parts]
    assert sum(sizes) == len(answer.content)
    assert max(sizes) < 20_000

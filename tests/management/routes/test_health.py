import pytest

from amqpbroker.broker.node import Certificates, Listening
from amqpbroker.config import Config
from amqpbroker.store.log import UnwrittenError
from tests.cluster.requests.brokers import LOST, Brokers
from tests.management.api import Api
from tests.management.cluster import add_cluster, member

OK = {"status": "ok"}


@pytest.fixture
def api():
    return Api()


async def check(api, path):
    answer = await api.get(path if "/" in path and path.startswith("h") else f"health/checks/{path}")
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json())


@pytest.mark.parametrize(
    "path",
    [
        "alarms",
        "local-alarms",
        "metadata-store/initialized",
        "metadata-store/initialized/with-data",
        "certificate-expiration/1/weeks",
        "virtual-hosts",
        "quorum-queues-without-elected-leaders/all-vhosts",
        "quorum-queues-without-elected-leaders/all-vhosts/pattern/%5Ea",
        "quorum-queues-without-elected-leaders/vhost/%2F",
        "quorum-queues-without-elected-leaders/vhost/%2F/pattern/%5Ea",
        "is-in-service",
        "ready-to-serve-clients",
        "reached-target-cluster-size",
        "healthchecks/node",
        "healthchecks/node/rabbit@test",
    ],
)
async def test_health_checks_of_a_healthy_broker_succeed(api, path):
    assert await check(api, path) == OK


async def test_alarms(api):
    api.broker.alarms.set("memory")
    alarms = [{"node": "rabbit@test", "resource": "memory"}]
    for path, where in (("alarms", "in the cluster"), ("local-alarms", "on the node")):
        reason = f"There are alarms in effect {where}"
        assert await check(api, path) == (503, {"status": "failed", "reason": reason, "alarms": alarms})
    reason = "resource alarm(s) in effect:[{resource_limit,memory,rabbit@test}]"
    assert await check(api, "healthchecks/node") == (503, {"status": "failed", "reason": reason})
    api.broker.alarms.clear("memory")
    assert await check(api, "alarms") == OK


# --- alarms of several brokers ----------------------------------------------------------------------------------------


@pytest.fixture
def brokers():
    return Brokers("a", "b", "c")


def failed(where, *alarms):
    shown = [{"node": name, "resource": resource} for name, resource in alarms]
    return 503, {"status": "failed", "reason": f"There are alarms in effect {where}", "alarms": shown}


async def test_the_alarms_of_all_brokers_are_found_at_each_of_them(brokers):
    assert await check(brokers["a"], "alarms") == OK
    brokers["b"].broker.alarms.set("disk")
    for name in ("a", "b", "c"):
        assert await check(brokers[name], "alarms") == failed("in the cluster", ("b", "disk"))
    assert await check(brokers["a"], "local-alarms") == OK
    assert await check(brokers["b"], "local-alarms") == failed("on the node", ("b", "disk"))
    brokers["a"].broker.alarms.set("memory")
    brokers["c"].broker.alarms.set("disk")
    assert await check(brokers["c"], "alarms") == failed(
        "in the cluster", ("c", "disk"), ("a", "memory"), ("b", "disk")
    )
    for name in ("a", "b", "c"):
        for resource in ("disk", "memory"):
            brokers[name].broker.alarms.clear(resource)
    assert await check(brokers["a"], "alarms") == OK


async def test_alarms_name_brokers_with_one_name_by_their_addresses(brokers):
    for name in ("a", "b"):
        add_cluster(brokers[name], member(f"rabbit@{name}:5672"))
        brokers[name].broker.alarms.set("disk")
    expected = [("rabbit@a:5672", "disk"), ("rabbit@b:5672", "disk")]
    assert await check(brokers["a"], "alarms") == failed("in the cluster", *expected)
    assert await check(brokers["a"], "local-alarms") == failed("on the node", expected[0])


async def test_the_check_of_alarms_names_brokers_that_do_not_answer(brokers):
    brokers.faults["b"] = LOST
    answer = await brokers["a"].get("health/checks/alarms")
    assert (answer.json(), answer.headers["x-missing-brokers"]) == (OK, "b")
    brokers["c"].broker.alarms.set("disk")
    answer = await brokers["a"].get("health/checks/alarms")
    assert (answer.status_code, answer.json()) == failed("in the cluster", ("c", "disk"))
    assert answer.headers["x-missing-brokers"] == "b"


async def test_a_user_of_no_vhost_may_check_the_alarms_of_all_brokers(brokers):
    brokers["b"].broker.alarms.set("disk")
    ann = brokers["a"].user("ann")
    brokers.follow()
    answer = await brokers["a"].get("health/checks/alarms", auth=ann)
    assert (answer.status_code, answer.json()) == failed("in the cluster", ("b", "disk"))


# --- other checks -----------------------------------------------------------------------------------------------------


async def test_listeners(api):
    api.node.listeners.append(Listening("amqp/ssl", "127.0.0.1", 5671))
    assert await check(api, "port-listener/5672") == {**OK, "port": 5672}
    missing = {"status": "failed", "reason": "No active listener"}
    assert await check(api, "port-listener/1") == (503, {**missing, "missing": 1, "ports": [5672, 5671]})
    for number in (99999999999999999999, -1, -(10**30), 10**500):
        assert await check(api, f"port-listener/{number}") == (
            503,
            {**missing, "missing": number, "ports": [5672, 5671]},
        )
    assert await check(api, "port-listener/+5672") == {**OK, "port": 5672}
    for text in ("x", "1_0", "%20%205672", "5672%0A", "%D9%A3", "0x10", "1.0", "%EF%BC%95", "9" * 5000):
        assert (await check(api, f"port-listener/{text}"))[1]["reason"] == "Invalid port"
    for name, protocol in (
        ("amqp", "amqp"),
        ("amqp091", "amqp"),
        ("amqps", "amqp/ssl"),
        ("amqp,amqps", "amqp,amqp/ssl"),
    ):
        assert await check(api, f"protocol-listener/{name}") == {**OK, "protocol": protocol}
    assert await check(api, "protocol-listener/amqp,mqtt") == (
        503,
        {**missing, "missing": "mqtt", "protocols": ["amqp", "amqp/ssl"]},
    )


async def test_certificate_expiration_check_fails_for_expiring_certificates(api):
    api.node.listeners.append(Listening("amqp/ssl", "::1", 5671))
    now_ms = api.clock.now_ms()
    api.node.certificates["amqp/ssl"] = Certificates("c.pem", "ca.pem", (now_ms + 3 * 86_400_000,), (10**13,))
    assert await check(api, "certificate-expiration/2/days") == OK
    status, body = await check(api, "certificate-expiration/4/days")
    assert (status, body["reason"]) == (503, "Certificates expiring")
    [expired] = body["expired"]
    assert (expired["port"], expired["certfile"], expired["certfile_expires_on"]) == (
        5671,
        "c.pem",
        ["1970-01-04 00:16:40"],
    )
    assert (await check(api, "certificate-expiration/x/days"))[1]["reason"] == "Invalid expiration value."
    assert (await check(api, "certificate-expiration/1/foo"))[1]["reason"].startswith("Time unit not recognised.")


@pytest.mark.parametrize(
    ("others", "critical"),
    [
        ([member("b")], False),
        ([member("b", drained=True), member("c")], False),
        ([member("b", running=False), member("c", drained=True)], True),
        ([], True),
    ],
)
async def test_a_broker_is_critical_if_no_other_one_could_lead(api, others, critical):
    cluster = add_cluster(api, member("rabbit@test", leader=True), *others)
    found = await check(api, "node-is-quorum-critical")
    if critical:
        assert found[0] == 503
        assert found[1]["reason"].startswith("no other broker could lead: start one")
    else:
        assert found == OK
    cluster.error = UnwrittenError(5, "gone")
    found = await check(api, "node-is-quorum-critical")
    assert found[1]["reason"] == "the other brokers are not known: gone"


@pytest.mark.parametrize("check_of", ["is-in-service", "ready-to-serve-clients"])
async def test_a_broker_that_is_drained_or_cut_off_is_not_in_service(api, check_of):
    cluster = add_cluster(api, member("rabbit@test"))
    assert await check(api, check_of) == OK
    cluster.drained = True
    reason = "this rabbit node is not currently available to serve: it is drained (amqpbroker ctl revive rabbit@test)"
    assert await check(api, check_of) == (503, {"status": "failed", "reason": reason})
    cluster.drained, cluster.reaches = False, False
    reason = "this rabbit node is not currently available to serve: the database does not answer it"
    assert await check(api, check_of) == (503, {"status": "failed", "reason": reason})


async def test_a_broker_at_its_limit_of_connections_or_without_a_listener_is_not_ready():
    api = Api(Config(max_connections=1))
    api.broker.sessions[object()] = None
    reason = "node connection limit is reached"
    assert await check(api, "ready-to-serve-clients") == (
        503,
        {"status": "failed", "reason": reason, "connections": 1},
    )
    assert await check(api, "is-in-service") == OK
    api = Api()
    api.node.listeners.clear()
    api.node.listeners.append(Listening("http", "127.0.0.1", 15672))
    assert (await check(api, "ready-to-serve-clients"))[1]["reason"] == "no active listeners for AMQP/AMQPS"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("virtual-hosts", "Some virtual hosts are down"),
        (
            "quorum-queues-without-elected-leaders/all-vhosts",
            "Detected quorum queues without an elected leader: no broker serves vhost 'free'",
        ),
    ],
)
async def test_vhosts_without_a_leader_are_down(brokers, path, reason):
    for name in "ab":
        add_cluster(brokers[name], member(name))
    brokers.serve("/", "a")
    brokers.add("free")
    for name, led in (("a", []), ("b", [("/", "a", 1)])):
        brokers[name].node.cluster.led = led
        status, body = await check(brokers[name], path)
        assert (status, body["reason"], body["virtual-hosts"]) == (503, reason, ["free"])
    # Its leader reads it, and others lead all.
    brokers["a"].node.cluster.led = [("free", "a", 1)]
    assert (await check(brokers["a"], path))[1]["virtual-hosts"] == ["free"]
    brokers["b"].node.cluster.led = [("/", "a", 1), ("free", "a", 1)]
    assert await check(brokers["b"], path) == OK


@pytest.mark.parametrize("pattern", ["", "/pattern/%5Ea"])
async def test_quorum_queues_of_one_vhost_are_checked(brokers, pattern):
    add_cluster(brokers["a"], member("a"))
    brokers.serve("/", "a")
    brokers.add("free")
    path = "quorum-queues-without-elected-leaders/vhost"
    assert await check(brokers["a"], f"{path}/%2F{pattern}") == OK
    assert (await check(brokers["a"], f"{path}/free{pattern}"))[0] == 503


async def test_single_node_is_not_quorum_critical(api):
    assert await check(api, "node-is-quorum-critical") == {**OK, "reason": "single node cluster"}


async def test_connection_limit_check_fails_at_the_limit():
    api = Api()
    assert await check(api, "below-node-connection-limit") == {**OK, "limit": "infinity", "connections": 0}
    api = Api(Config(max_connections=1))
    api.broker.sessions[object()] = None
    counted = {"limit": 1, "connections": 1}
    assert await check(api, "below-node-connection-limit") == (
        503,
        {"status": "failed", "reason": "node connection limit is reached", **counted},
    )


async def test_unknown_name_is_an_error(api):
    for path in ("nope", "quorum-queues-without-elected-leaders/vhost/nope", "healthchecks/node/other"):
        assert (await check(api, path))[0] == 404


async def test_aliveness_test_succeeds_and_leaves_no_message(api):
    for _ in range(2):
        assert (await api.get("aliveness-test/%2F")).json() == OK
    assert api.broker.vhosts["/"].queues["aliveness-test"].ready_count == 0
    assert (await api.get("aliveness-test/nope")).status_code == 404


async def test_aliveness_test_requires_permissions(api):
    ada = api.user("ada", tags=("administrator",))
    answer = await api.get("aliveness-test/%2F", auth=ada)
    assert (answer.status_code, answer.json()["reason"]) == (401, "Access refused.")
    api.broker.users.set_permissions("ada", "/", ".*", "", ".*")
    answer = await api.get("aliveness-test/%2F", auth=ada)
    assert answer.status_code == 401
    assert "aliveness-test" not in api.broker.vhosts["/"].queues

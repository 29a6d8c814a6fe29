"""Virtual hosts (rabbit_mgmt_wm_vhost*.erl)."""

from typing import Any

from amqpbroker.broker.counters.stats import CONNECTION_COUNTERS, named
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.formats.rates import Details, Ranges, asked_ranges, listed, sampled, with_details
from amqpbroker.management.formats.users import shown_permission, shown_topic_permission
from amqpbroker.management.formats.vhosts import DefinedVhost, described_vhost, description, put_vhost
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import boolean


def _shown(call: Call, definition: DefinedVhost, details: Details | None) -> dict[str, Any]:
    """details: None where nothing that is counted is shown."""
    vhost = call.broker.vhosts.get(definition.name)
    shown = {
        **described_vhost(definition, call.broker.config),
        "tracing": definition.name in call.broker.tracing,
        "cluster_state": {} if vhost is None else {call.node.name: "running"},
    }
    if call.broker.shares_vhosts and call.node.cluster is not None:
        shown["leader"] = call.node.cluster.leader_of(definition.name)
    if details is not None and vhost is not None:
        byte_counts = named(CONNECTION_COUNTERS, vhost.byte_totals.counters())
        shown |= with_details({**vhost.queue_totals(), **byte_counts}, details)
        shown["message_stats"] = with_details(vhost.message_stats(), details)
    return shown


def vhosts(call: Call) -> Listing:
    broker, stats = call.broker, call.stats
    wanted = asked_ranges(call.query, listed=True) if stats else Ranges()

    def shown(definition: DefinedVhost) -> dict[str, Any]:
        vhost = broker.vhosts.get(definition.name)
        return _shown(call, definition, listed(broker.rates, vhost, wanted) if stats and vhost is not None else None)

    return Listing(
        call.identity.vhosts(),
        shown,
        lambda definition: definition.name,
        stands_in=(lambda definition: definition.name not in broker.vhosts) if broker.shares_vhosts else None,
    )


def vhost(call: Call) -> dict[str, Any]:
    details = sampled(call.broker.rates, [call.vhost], asked_ranges(call.query)) if call.stats else None
    return _shown(call, call.vhost.definition, details)


def put(call: Call) -> Answer:
    return put_body(call, call.body())


def put_body(call: Call, body: dict[str, Any]) -> Answer:
    name = call.path["vhost"]
    described, traced = description(body), boolean(body, "tracing")
    if call.from_peer and set(body) == {"tracing"}:
        return trace(call, traced)
    answer = put_answer(put_vhost(call.broker, name, described, call.identity.user.name))
    if "tracing" in body:
        trace(call, traced)
    return answer


def trace(call: Call, on: bool) -> Answer:
    if call.broker.is_elsewhere(call.path["vhost"]):
        raise failure.moved(call.path["vhost"])
    switch = call.broker.tracing.start if on else call.broker.tracing.stop
    switch(call.vhost)
    return NO_CONTENT


def trace_for(call: Call) -> Answer:
    """Trace the vhost until the queue is deleted or expires, or until tracing is switched off: of this broker alone."""
    queue = call.vhost.queues.get(call.path["name"])
    if queue is None:
        raise failure.not_found()
    call.broker.tracing.start_for(call.vhost, queue)
    return NO_CONTENT


def delete(call: Call) -> Answer:
    definition = call.definition
    if definition.protected:
        reason = f"Refusing to delete virtual host '{definition.name}' because it is protected from deletion"
        raise failure.ApiError(412, "precondition_failed", reason)
    call.broker.delete_vhost(definition.name)
    return NO_CONTENT


def permissions(call: Call) -> Listing:
    return Listing(call.broker.users.list_permissions(vhost=call.definition.name), shown_permission, paged=False)


def topic_permissions(call: Call) -> Listing:
    listed = call.broker.users.list_topic_permissions(vhost=call.definition.name)
    return Listing(listed, shown_topic_permission, paged=False)


def start(call: Call) -> Answer:
    """Vhosts never stop here, so there is nothing to do."""
    if not call.node.is_named(call.path["node"]):
        raise failure.bad_request(f"Request to node {call.path['node']} failed with nodedown")
    return NO_CONTENT


def protect(call: Call) -> Answer:
    call.broker.update_vhost(call.definition.name, protected=True)
    return NO_CONTENT


def unprotect(call: Call) -> Answer:
    call.broker.update_vhost(call.definition.name, protected=False)
    return NO_CONTENT


RESOURCES = (
    Resource("/vhosts", Access.USER, get=vhosts),
    Resource(
        "/vhosts/{vhost}",
        Access.ADMIN,
        get=vhost,
        put=put,
        delete=delete,
        any_vhost=True,
    ),
    Resource("/vhosts/{vhost}/permissions", Access.ADMIN, get=permissions),
    Resource("/vhosts/{vhost}/topic-permissions", Access.ADMIN, get=topic_permissions),
    Resource("/vhosts/{vhost}/tracing/{name}", Access.ADMIN, put=trace_for, max_body_bytes=0),
    Resource("/vhosts/{vhost}/start/{node}", Access.ADMIN, post=start, max_body_bytes=0),
    Resource(
        "/vhosts/{vhost}/deletion/protection",
        Access.ADMIN,
        post=protect,
        delete=unprotect,
        max_body_bytes=0,
    ),
)

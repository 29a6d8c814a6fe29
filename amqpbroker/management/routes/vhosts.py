"""Virtual hosts (rabbit_mgmt_wm_vhost*.erl)."""

from typing import Any

from amqpbroker.broker.counters.stats import CONNECTION_COUNTERS, named
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.formats.rates import Details, Ranges, asked_ranges, listed, sampled, with_details
from amqpbroker.management.formats.users import shown_permission, shown_topic_permission
from amqpbroker.management.formats.vhosts import described_vhost, description, put_vhost
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import boolean


def _shown(call: Call, vhost: Vhost, details: Details | None) -> dict[str, Any]:
    """details: None where nothing that is counted is shown."""
    shown = {
        **described_vhost(vhost),
        "tracing": vhost.name in call.broker.tracing,
        "cluster_state": {call.node.name: "running"},
    }
    if details is not None:
        byte_counts = named(CONNECTION_COUNTERS, vhost.byte_totals.counters())
        shown |= with_details({**vhost.queue_totals(), **byte_counts}, details)
        shown["message_stats"] = with_details(vhost.message_stats(), details)
    return shown


def vhosts(call: Call) -> Listing:
    rates, stats = call.broker.rates, call.stats
    wanted = asked_ranges(call.query, listed=True) if stats else Ranges()
    return Listing(
        call.identity.vhosts(),
        lambda vhost: _shown(call, vhost, listed(rates, vhost, wanted) if stats else None),
        lambda vhost: vhost.name,
    )


def vhost(call: Call) -> dict[str, Any]:
    details = sampled(call.broker.rates, [call.vhost], asked_ranges(call.query)) if call.stats else None
    return _shown(call, call.vhost, details)


def put(call: Call) -> Answer:
    body, name = call.body(), call.path["vhost"]
    described, trace = description(body), boolean(body, "tracing")
    answer = put_answer(put_vhost(call.broker, name, described, call.identity.user.name))
    if "tracing" in body:
        switch = call.broker.tracing.start if trace else call.broker.tracing.stop
        switch(call.broker.vhosts[name])
    return answer


def trace_for(call: Call) -> Answer:
    """Trace the vhost until the queue is deleted or expires, or until tracing is switched off: of this broker alone."""
    queue = call.vhost.queues.get(call.path["name"])
    if queue is None:
        raise failure.not_found()
    call.broker.tracing.start_for(call.vhost, queue)
    return NO_CONTENT


def delete(call: Call) -> Answer:
    if call.vhost.protected:
        reason = f"Refusing to delete virtual host '{call.vhost.name}' because it is protected from deletion"
        raise failure.ApiError(412, "precondition_failed", reason)
    call.broker.delete_vhost(call.vhost.name)
    return NO_CONTENT


def permissions(call: Call) -> Listing:
    return Listing(call.broker.users.list_permissions(vhost=call.vhost.name), shown_permission, paged=False)


def topic_permissions(call: Call) -> Listing:
    listed = call.broker.users.list_topic_permissions(vhost=call.vhost.name)
    return Listing(listed, shown_topic_permission, paged=False)


def start(call: Call) -> Answer:
    """Vhosts never stop here, so there is nothing to do."""
    if call.path["node"] != call.node.name:
        raise failure.bad_request(f"Request to node {call.path['node']} failed with nodedown")
    return NO_CONTENT


def protect(call: Call) -> Answer:
    call.broker.update_vhost(call.vhost.name, protected=True)
    return NO_CONTENT


def unprotect(call: Call) -> Answer:
    call.broker.update_vhost(call.vhost.name, protected=False)
    return NO_CONTENT


RESOURCES = (
    Resource("/vhosts", Access.USER, get=vhosts),
    Resource("/vhosts/{vhost}", Access.ADMIN, get=vhost, put=put, delete=delete, any_vhost=True),
    Resource("/vhosts/{vhost}/permissions", Access.ADMIN, get=permissions),
    Resource("/vhosts/{vhost}/topic-permissions", Access.ADMIN, get=topic_permissions),
    Resource("/vhosts/{vhost}/tracing/{name}", Access.ADMIN, put=trace_for, max_body_bytes=0),
    Resource("/vhosts/{vhost}/start/{node}", Access.ADMIN, post=start, max_body_bytes=0),
    Resource("/vhosts/{vhost}/deletion/protection", Access.ADMIN, post=protect, delete=unprotect, max_body_bytes=0),
)

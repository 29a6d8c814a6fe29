"""`python -m tools.http_api_reference` writes docs/reference/http-api.md from the resources of the management API."""

from pathlib import Path

from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.management.routes import RESOURCES
from amqpbroker.testing.routes import ROUTES
from amqpbroker.testing.routes.route import Route

PATH = Path(__file__).parent.parent / "docs" / "reference" / "http-api.md"

INTRODUCTION = """\
# HTTP API

The management API of RabbitMQ 4.0.5: its paths, JSON keys, status codes and error texts, so that what is made for
RabbitMQ's works with this one. RabbitMQ's own documentation of it holds; [how to use it](../guide/http-api.md). All
paths are below `/api` on port 15672, in which `/` in a name is written `%2F`; `amq.default` is the exchange without a
name.

Names that RabbitMQ's server cannot be asked for, such as `..`, can be here (as `%2E%2E`).

## What is different

- Counts are exact when they are asked for. Rates are those of the last interval of `collect_statistics_interval`.
  Samples (`msg_rates_age`, `msg_rates_incr` and the like) reach back 10 minutes, or to the object's first use. At most
  1,000 vhosts, queues, exchanges, channels and connections have samples: those that were active or requested last.
  Nodes have none.
- `connection_details` of channels and `channel_details` of consumers have the client's name for its connection as
  `user_provided_name`. The overview and nodes have this broker's version in `amqpbroker`, beside RabbitMQ's.
- `GET /api/auth` has the default user and password as `amqpbroker.default_login` for clients on the broker's machine,
  as long as the user `guest` exists with the password `guest`. The login page shows them.
- What tells of Erlang's virtual machine (`reductions`, `garbage_collection`, `context_switches` and such) is there for
  clients that read it, and is 0. `erlang_version` is that of RabbitMQ's own, or Python's where `product.identity` is
  `amqpbroker`; the overview's `amqpbroker` has this broker's version, Python's, and the types of queues. `memory` is an
  estimate.
- `deliveries`, `incoming`, `outgoing` and `publishes` are empty, as with RabbitMQ's `rates_mode` basic. Who made an
  exchange is not kept: `user_who_performed_action` of exchanges is `unknown`.
- Wrong bodies that RabbitMQ breaks on (500 without a reason) are answered with 400 and a reason.
- Lists, definitions and messages of more than 1 MiB are sent in chunks while they are made, without `content-length`.
- `POST /api/queues/VHOST/NAME/get` keeps at most 64 MiB of stored messages out of the queue at a time, for each of
  which 500 bytes are counted beside its body: a list of messages that go back (every `ackmode` but `ack_requeue_false`)
  ends there. RabbitMQ takes all of them into memory.
- At most 66 objects and lists may be inside one another in a body (70 in definitions), and names of arguments have at
  most 255 bytes: what is deeper or longer is answered with 400.
- `/api/` and `/cli/` lead to their `index.html` as in RabbitMQ, but these pages are not there.
- There are no streams, federation links and traces: their paths are 404, as where RabbitMQ's plugins are not
  enabled. A quorum queue has one replica.
- `POST /api/queues/VHOST/NAME/move` is an extension.
- `PUT /api/vhosts/VHOST/tracing/QUEUE` is an extension: it traces the vhost until that queue is deleted or expires, or
  until tracing is switched off ([Tracing](../guide/tracing.md)).

## Moving messages

`POST /api/queues/VHOST/NAME/move` with `{"destination": "other"}` moves the messages that are ready in a queue to
another one and answers `{"moved": N}`. `destination_vhost` names another vhost, and `count` the most that are to move.

They move in order, past any exchange, with all that their publishers gave them. To the store each leaves the one queue
and enters the other at once, so that none is lost or doubled, whatever ends the broker. What is published meanwhile
stays, and so does what is unacknowledged. The other queue's limits, TTL and dead letters hold as for any message; one
that refuses messages gets no more, and the rest stays where it is. It takes read permission for the queue and write
permission for the other, by its name.

## Paths

"""

_WHO = {
    Access.ANYBODY: "anybody",
    Access.USER: "any user with a tag of the management",
    Access.VHOST: "one with permissions in the vhost, or administrator",
    Access.VISIBLE: "the same, or monitoring",
    Access.MONITOR: "monitoring",
    Access.POLICYMAKER: "policymaker with permissions in the vhost",
    Access.ADMIN: "administrator",
}

_LEGEND = """\
Who may, in the table:

"""


TESTING = """
## For tests

`amqpbroker serve --testing` has these paths as well, and so has `Broker(management=True)` of
[`amqpbroker.testing`](../guide/testing.md). They are for administrators. Bodies and answers are JSON objects.

| Path | Method | |
|---|---|---|
"""


def page(resources: tuple[Resource, ...] = RESOURCES) -> str:
    """The whole page."""
    legend = "".join(f"- `{access.value}`: {who}\n" for access, who in _WHO.items())
    rows = "".join(_row(resource) for resource in sorted(resources, key=lambda resource: resource.path))
    table = "| Path | Methods | To read | To change |\n|---|---|---|---|\n" + rows
    return INTRODUCTION + _LEGEND + legend + "\n" + table + TESTING + "".join(map(_testing_rows, ROUTES))


def _testing_rows(route: Route) -> str:
    """A row for each method, which its handler's docstring documents."""
    handlers = {"GET": route.get, "PUT": route.put, "POST": route.post, "DELETE": route.delete}
    there = [(method, handler) for method, handler in handlers.items() if handler is not None]
    rows = [(method, " ".join((handler.__doc__ or "").split())) for method, handler in there]
    return "".join(f"| `/api{route.path}` | {method} | {text} |\n" for method, text in rows)


def _row(resource: Resource) -> str:
    methods = [method for method in resource.methods if method not in ("HEAD", "OPTIONS")]
    read = resource.access.value if resource.get is not None else ""
    changes = [method for method in methods if method != "GET"]
    change = (resource.change or resource.access).value if changes else ""
    return f"| `/api{resource.path}` | {', '.join(methods)} | {read} | {change} |\n"


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(page())

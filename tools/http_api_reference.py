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

The broker implements the management API of RabbitMQ 4.0.5: its paths, JSON keys, status codes and error texts, so that
tools for RabbitMQ work. RabbitMQ's own documentation applies; the guide shows [how to use the
API](../guide/http-api.md). All paths are below `/api` on port 15672. A `/` in a name is written `%2F`; `amq.default` is
the default exchange.

Names that cannot be used with RabbitMQ's server, such as `..`, can be used here (as `%2E%2E`).

## Differences from RabbitMQ

- Counts are exact at the time of the response. Rates are those of the last interval of `collect_statistics_interval`.
  Samples (`msg_rates_age`, `msg_rates_incr` and similar) go back 10 minutes, or to the object's
  first use. At most 1,000 vhosts, queues, exchanges, channels and connections have samples: those that were active or
  requested last. Nodes have none.
- Data about Erlang's virtual machine (`reductions`, `garbage_collection`, `context_switches` and similar) is present
  for clients that read it, and is 0. `erlang_version` is that of RabbitMQ's release, or Python's version if
  `product.identity` is `amqpbroker`. `amqpbroker` in the overview has the versions of this broker and of Python, and
  the types of queues. `memory` is an estimate.
- `deliveries`, `incoming`, `outgoing` and `publishes` are empty, as with RabbitMQ's `rates_mode` basic. The user who
  created an exchange is not stored: `user_who_performed_action` of exchanges is `unknown`.
- Invalid bodies that crash RabbitMQ's API (500 without a reason) get 400 with a reason.
- Lists, definitions and messages of more than 1 MiB are sent in chunks while they are generated, without
  `content-length`.
- `POST /api/queues/VHOST/NAME/get` takes at most 64 MiB of stored messages out of the queue at a time; each counts with
  the size of its body plus 500 bytes. If the messages are to be requeued (every `ackmode` but `ack_requeue_false`), the
  list ends there. RabbitMQ takes all of them into memory.
- Objects and lists in a body can be nested at most 66 levels deep (70 in definitions), and names of arguments have at
  most 255 bytes; other bodies get 400.
- `/api/` and `/cli/` redirect to their `index.html` as in RabbitMQ, but these pages do not exist.
- The stream protocol, federation links and traces do not exist: their paths, such as `/api/stream/connections`, return
  404, as in RabbitMQ without the plugins. A quorum queue or a stream has one replica.
- A stream has the offsets of its oldest and newest message as `first_offset` and `last_offset`, that of the first
  message of its last chunk as `last_chunk`, and the size of its files as `stored_bytes`. `move`, `discard`
  and `redrive` refuse streams, because messages stay in them.
- `connection_details` of channels and `channel_details` of consumers have the client's name for its connection as
  `user_provided_name`. The overview and nodes have this broker's version in `amqpbroker`, beside RabbitMQ's.
- `GET /api/auth` has the default user and password as `amqpbroker.default_login` for clients on the broker's machine,
  as long as the user `guest` exists with the password `guest`. The login page shows them.
- `POST /api/queues/VHOST/NAME/move` is an extension. So are `/peek` and `/discard`, which read and remove chosen
  messages ([Peek, browse and search](../features/peek.md)). For a stream, the body of `/peek` can have a start:
  `offset` (a number, of which a negative one counts from the end, `"first"`, `"last"`, or an age such as `"1h"`) or
  `written_at` (milliseconds since the epoch).
- `/api/queues/VHOST/NAME/redrive` is an extension: it moves [dead letters back](../features/redrive.md). A queue that
  got dead letters since the start has their number as `dead_letters`.
- `/api/queues/VHOST/STREAM/offsets` is an extension: it lists and removes the
  [offsets of consumers](../features/super-streams.md#let-the-broker-keep-the-offset).
- `/api/super-streams` is a resource of this broker, for [super streams](../features/super-streams.md#super-streams).
  RabbitMQ's stream plugin has `/api/stream/super-streams`.
- With a database that several brokers use, `/api/nodes` lists all of them
  ([High availability](../guide/high-availability.md#operate-the-brokers)). `POST /api/leadership/transfer`,
  `/api/leadership/rebalance`, `/api/maintenance/drain` and `/api/maintenance/revive` are extensions: they change which
  broker leads a vhost. So is `GET /api/leadership` ([Brokers with one database](#brokers-with-one-database)).
- `PUT /api/vhosts/VHOST/tracing/QUEUE` is an extension: it traces the vhost until that queue is deleted or expires, or
  until tracing is switched off ([Tracing](../guide/tracing.md)).

## Moving messages

`POST /api/queues/VHOST/NAME/move` with `{"destination": "other"}` moves the ready messages of a queue to another queue
and returns `{"moved": N}`. `destination_vhost` names another vhost, and `count` is the maximum number of messages.

Messages move in order, directly to the queue without an exchange, with all their properties. In the store, leaving the
source and entering the destination is one operation for each message, so that no message is lost or duplicated even if
the broker crashes. Messages that are published meanwhile and unacknowledged messages stay. The destination applies its
limits, TTL and dead-lettering as for any message. If it refuses a message, moving stops and the remaining messages
stay. The user needs read permission for the source and write permission for the destination queue.

## Brokers with one database

A node of `/api/nodes` has these keys besides those of RabbitMQ. The broker that answers the request is the first one. A
broker that does not answer has only these, `name`, `type` and `amqpbroker`.

| Key | Meaning |
|---|---|
| `led_vhosts` | Number of vhosts that it leads |
| `writes_definitions` | It writes users, permissions, policies and the list of vhosts for all brokers |
| `drained`, `being_drained` | It leads no vhosts until it is revived |
| `address` | Where its clients connect |
| `running` | It has reported within `store.lease`, and is connected to the database |
| `started`, `last_seen` | Times in milliseconds since the Unix epoch |
| `lag` | Seconds since it had read all messages that it follows, at its last report; `null` if not known |
| `process` | Random name of the process |

Brokers with the same `cluster_name` have their address in `name`, as in `amqpbroker@10.0.0.7:5672`. `/api/overview`
shows the same name in `node`, `listeners` and `contexts`. Paths with a node accept it with the address or without.

Any broker takes requests to change leaders. `broker` is the name or the address of a broker.

| `POST` | Body | Effect |
|---|---|---|
| `/api/leadership/transfer` | `vhost`, `broker` | The leader of the vhost hands it over |
| `/api/leadership/rebalance` | | Leaders hand vhosts over until all brokers lead as many as each other |
| `/api/maintenance/drain` | `broker` | The broker hands its vhosts over, and leads none |
| `/api/maintenance/revive` | `broker` | The broker may lead again |

Without `broker`, a transfer chooses the broker that would take the vhost if its leader ended, and the broker that got
the request is drained or revived. The answer is `{"broker": NAME, "hands_over": BOOLEAN}`. The answer to a drain also
has the list `vhosts` of those that the broker has to hand over. The answer to a rebalance is
`{"moves": [{"vhost": NAME, "from": NAME, "to": NAME}]}`. The vhosts are handed over after the answer: `leader` of
`/api/vhosts` is the present leader of a vhost. A request that would leave no leader gets 409 with a reason.

`GET /leader/VHOST`, which needs no login, is for load balancers. The status is 200 if the broker that got the request
leads the vhost, and 404 if there is no such vhost. It is 503 if another broker leads the vhost, if none does, or if
another one may lead it because the database has not answered this broker for `store.lease`.

`GET /api/leadership` lists the vhosts that have a leader, as the broker that got the request has last read them:
`{"vhost": NAME, "log": ID, "leader": NAME, "process": ID, "epoch": NUMBER}`. The vhost `""` stands for the definitions
of all vhosts. The epoch is the number of takeovers of the log. A vhost that is created again has another log. Without a
database, the list is empty.

## Paths

"""

_WHO = {
    Access.ANYBODY: "no login needed",
    Access.USER: "any user with a management tag",
    Access.VHOST: "a user with permissions in the vhost, or an administrator",
    Access.VISIBLE: "a user with permissions in the vhost or the tag monitoring, or an administrator",
    Access.MONITOR: "the tag monitoring",
    Access.POLICYMAKER: "the tag policymaker, and permissions in the vhost",
    Access.ADMIN: "an administrator",
}

_LEGEND = """\
The last two columns of the table contain the required rights:

"""


TESTING = """
## Paths for tests

`amqpbroker serve --testing` and `Broker(management=True)` of [`amqpbroker.testing`](../guide/testing.md) also have
these paths. Only administrators can use them. Bodies and responses are JSON objects.

| Path | Method | Effect |
|---|---|---|
"""


def page(resources: tuple[Resource, ...] = RESOURCES) -> str:
    """Return the whole page."""
    legend = "".join(f"- `{access.value}`: {who}\n" for access, who in _WHO.items())
    rows = "".join(_row(resource) for resource in sorted(resources, key=lambda resource: resource.path))
    table = "| Path | Methods | To read | To change |\n|---|---|---|---|\n" + rows
    return INTRODUCTION + _LEGEND + legend + "\n" + table + TESTING + "".join(map(_testing_rows, ROUTES))


def _testing_rows(route: Route) -> str:
    """Return a row for each method, documented by the docstring of its handler."""
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

"""Changes that several brokers make, each a part: documents of definitions, and vhosts with their tracing."""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from amqpbroker.management.definitions.division import divided
from amqpbroker.management.routes import definitions, vhosts
from amqpbroker.management.streamed import encoded
from amqpbroker.management.values import boolean

if TYPE_CHECKING:
    from amqpbroker.management.call import Call
    from amqpbroker.management.resource import Handler


class SubRequest(NamedTuple):
    """A part of a change that several brokers make."""

    #: Vhost whose broker makes it; None for the writer of definitions.
    vhost: str | None
    #: Path below /api, quoted.
    path: str
    #: JSON.
    body: bytes
    #: Makes it at this broker.
    here: "Handler"


def import_requests(call: "Call") -> list[SubRequest]:
    """Return the parts of a document for the brokers that import them. Together they are not atomic."""
    vhost = call.path.get("vhost")
    found = []
    for of, document in divided(definitions.document_of(call), vhost):
        part = vhost if of is None else of
        path = "/definitions" if part is None else f"/definitions/{quote(part, safe='')}"
        here = partial(definitions.load_document, document=document, vhost=part)
        found.append(SubRequest(of, path, encoded(document), here))
    return found


def vhost_requests(call: "Call") -> list[SubRequest]:
    """Return a change of a vhost, and the one of its tracing, which its broker makes: no definition contains that."""
    body, path = call.body(), f"/vhosts/{quote(call.path['vhost'], safe='')}"
    if "tracing" not in body:
        return []
    on = boolean(body, "tracing")
    rest = {key: value for key, value in body.items() if key != "tracing"}
    return [
        SubRequest(None, path, encoded(rest), partial(vhosts.put_body, body=rest)),
        SubRequest(call.path["vhost"], path, encoded({"tracing": on}), partial(vhosts.trace, on=on)),
    ]

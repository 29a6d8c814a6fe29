"""One request to the API, as handlers see it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from amqpbroker.broker.actions import Actions
from amqpbroker.broker.events.events import INTERNAL
from amqpbroker.management import failure
from amqpbroker.management.decoding import DecodingError, decoded
from amqpbroker.management.nesting import MAX_BODY_LEVELS
from amqpbroker.management.peer_requests import PART, is_from_peer

if TYPE_CHECKING:
    from starlette.requests import Request

    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.node import Node
    from amqpbroker.broker.storage import Storage
    from amqpbroker.broker.users.permissions import Permissions
    from amqpbroker.broker.vhost import Vhost
    from amqpbroker.management.authentication import Authenticator
    from amqpbroker.management.formats.vhosts import DefinedVhost
    from amqpbroker.management.identity import Identity


#: The methods of requests that change nothing.
READING = ("GET", "HEAD")
_NOT_JSON = "not_json"


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """Anything but a 200 with JSON. `json` is left out if it is None."""

    status: int
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


CREATED = Answer(201)
NO_CONTENT = Answer(204)


def put_answer(created: bool) -> Answer:
    """To a PUT: 201 for what was not there before, else 204."""
    return CREATED if created else NO_CONTENT


@final
class Call:
    """One request to a resource.

    path: the {names} of the resource's path, unquoted. query: the first value of each parameter. raw: the body.
    check(): returns the sender of the request if it is still authorised, None without a login; raises ApiError.
    unstored: storages that were closed before the changes of the request were stored there.
    """

    def __init__(
        self,
        broker: "Broker",
        node: "Node",
        authenticator: "Authenticator",
        check: "Callable[[], Identity | None]",
        request: "Request",
        path: Mapping[str, str],
    ) -> None:
        self.broker = broker
        self.node = node
        self.authenticator = authenticator
        self._check = check
        self._identity: Identity | None = None
        self.request = request
        self.path = path
        self.query: Mapping[str, str] = dict(reversed(request.query_params.multi_items()))
        self.raw = b""
        self.unstored: Sequence[Storage] = ()

    def check(self) -> None:
        """Check the user's permissions again; a handler calls this after each wait. Raises ApiError."""
        self._identity = self._check()

    @property
    def host(self) -> str:
        """The address that the request came from."""
        client = self.request.client
        return client.host if client is not None else ""

    @property
    def reading(self) -> bool:
        """Return whether the request changes nothing."""
        return self.request.method in READING

    @property
    def known_identity(self) -> "Identity | None":
        """The sender of the request, None without a login."""
        return self._identity

    @property
    def sender(self) -> str:
        """The name of the user who sends the request, INTERNAL without a login."""
        return INTERNAL if self._identity is None else self._identity.user.name

    @property
    def from_peer(self) -> bool:
        """Return whether a broker that shares vhosts with this one sends the request, for a client."""
        return is_from_peer(self.request)

    @property
    def wants_part(self) -> bool:
        """Return whether a peer wants the part that this broker has of a list."""
        return PART in self.request.headers and self.from_peer

    @property
    def identity(self) -> "Identity":
        if self._identity is None:
            raise failure.wrong_login()
        return self._identity

    @property
    def vhost(self) -> "Vhost":
        """The vhost of the path. Raises ApiError 404."""
        vhost = self.broker.vhosts.get(self.path["vhost"])
        if vhost is None:
            raise failure.not_found()
        return vhost

    @property
    def definition(self) -> "DefinedVhost":
        """The definition of the vhost of the path, which another broker may serve. Raises ApiError 404."""
        definition = self.broker.defined_vhosts.get(self.path["vhost"])
        if definition is None:
            raise failure.not_found()
        return definition

    @property
    def permissions(self) -> "Permissions":
        """The user's, in the vhost of the path. Raises ApiError 401."""
        permissions = self.identity.permissions(self.path["vhost"])
        if permissions is None:
            raise failure.not_authorised("Access refused.")
        return permissions

    @property
    def actions(self) -> Actions:
        """Return the actions of the user in the vhost of the path. Raises ApiError 401 or 404."""
        return Actions(self.vhost, self.permissions)

    @property
    def stats(self) -> bool:
        """Return whether statistics are shown."""
        return not (self.broker.config.management.disable_stats or self.query.get("disable_stats") == "true")

    @property
    def queue_totals(self) -> bool:
        """Return whether the message counts of queues are shown although other statistics are not."""
        return self.broker.config.management.enable_queue_totals or self.query.get("enable_queue_totals") == "true"

    @property
    def rows(self) -> int:
        """The number of rows that the request handles in one event loop iteration."""
        return self.broker.config.bounds.rows

    def visible_vhosts(self) -> "list[Vhost]":
        """Return the vhosts whose queues, exchanges and bindings the user sees, by name."""
        found = [vhost for name, vhost in self.broker.vhosts.items() if self.identity.enters_vhost(name)]
        return sorted(found, key=lambda vhost: vhost.name)

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; an empty body and null are an empty one. Raises ApiError 400."""
        if not self.raw.strip():
            return {}
        try:
            body = decoded(self.raw, MAX_BODY_LEVELS, _NOT_JSON)
        except DecodingError as error:
            raise failure.bad_request(str(error)) from None
        if body is None:
            return {}
        if isinstance(body, str):
            raise failure.encoded_twice()
        if not isinstance(body, dict):
            raise failure.bad_request(_NOT_JSON)
        return body

    def need(self, *names: str) -> dict[str, Any]:
        """The body, which must have all these keys. Raises ApiError 400."""
        body = self.body()
        missing = [name for name in names if name not in body]
        if missing:
            raise failure.missing_keys(missing)
        return body

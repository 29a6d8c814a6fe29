"""From a document to the steps that import it, in RabbitMQ's order.

The whole document is checked before the first step is taken, so that a document that cannot be imported changes
nothing. An import adds and changes objects, and removes none; a repeated import changes nothing. Queues and exchanges
that exist stay as they are. Objects that only RabbitMQ supports are left out, by a step that logs a warning.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, TypeVar, final

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.exchange import ExchangeType, alternate_exchange
from amqpbroker.broker.exchanges.registry import build_exchange_type, known_exchange_types, missing_exchange_type
from amqpbroker.broker.policies.policies import OPERATOR_POLICY, Policies, Policy
from amqpbroker.broker.queues.arguments.arguments import STRICT
from amqpbroker.broker.queues.arguments.declaration import parse_declaration
from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.broker.shovels.definition import speaks_amqp10
from amqpbroker.broker.shovels.shovels import SHOVEL
from amqpbroker.broker.users.passwords import MD5, SHA256
from amqpbroker.broker.vhost import PREDECLARED
from amqpbroker.errors import AmqpError
from amqpbroker.management.decoding import DecodingError, decoded
from amqpbroker.management.definitions import failure
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.left_out import LeftOut, quoted, warning
from amqpbroker.management.failure import ApiError, shown
from amqpbroker.management.formats.tables import typed
from amqpbroker.management.formats.users import Credentials, credentials
from amqpbroker.management.formats.vhosts import description, put_vhost
from amqpbroker.management.nesting import MAX_DEFINITIONS_LEVELS
from amqpbroker.message.message import Message
from amqpbroker.patterns import Pattern, PatternError
from amqpbroker.wire.values import Table

#: The global parameter by which a start knows the definitions that the start before has imported.
IMPORTED_HASH = "imported_definition_hash_value"

_NOT_JSON = "failed_to_parse_json"

#: One action of an import. Raises DefinitionsError.
Step = Callable[[], object]

_Result = TypeVar("_Result")


def _ignore(message: Message) -> None:
    pass


def parsed(text: bytes) -> dict[str, Any]:
    """The document. Raises DefinitionsError."""
    if not text.strip():
        return {}
    try:
        document = decoded(text, MAX_DEFINITIONS_LEVELS, _NOT_JSON)
    except DecodingError as error:
        raise DefinitionsError(str(error)) from None
    if not isinstance(document, dict):
        raise DefinitionsError(_NOT_JSON)
    return document


@final
class _Entry:
    """One object of a section. where: its section and number, for who has to find it."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where = where
        self.values = values

    def text(self, key: str) -> str:
        """Raises DefinitionsError if it is missing or no string."""
        if key not in self.values:
            raise failure.malformed(self.where, f'"{key}" is missing')
        value = self.values[key]
        if not isinstance(value, str):
            raise failure.wrong_type(self.where, key, value, "a string")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Raises DefinitionsError if it is neither true nor false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise failure.wrong_type(self.where, key, value, "true or false")
        return value

    def object(self, key: str) -> dict[str, Any]:
        """Return the object at `key`, empty if missing. An empty list counts as an empty object, since some exporters
        write it so. Raises DefinitionsError.
        """
        value = self.values.get(key, {})
        if value == []:
            return {}
        if not isinstance(value, dict):
            raise failure.wrong_type(self.where, key, value, "an object")
        return value

    def arguments(self) -> Table:
        """Raises DefinitionsError."""
        given = self.values.get("arguments")
        try:
            return typed(given)
        except ApiError as error:
            place = f'{self.where}: "arguments" {shown(given)}'
            raise DefinitionsError(str(failure.explained(error)), place) from error


@final
class Plan:
    """Iterated, it checks the document and yields the steps; raises DefinitionsError.

    vhost: if the document is for that one; then nothing but what is in a vhost is looked at, and whatever vhost it
    names does not count. maker: who gets all permissions in vhosts that are made. left_out: of documents before this.
    """

    def __init__(
        self,
        broker: Broker,
        document: Mapping[str, Any],
        vhost: str | None = None,
        maker: str | None = None,
        left_out: LeftOut | None = None,
    ) -> None:
        self._broker = broker
        self._document = document
        self._vhost = vhost
        self._maker = maker
        self._users = {user.name for user in broker.users.list_users()}
        #: name -> the type of queues that are declared there without one.
        default = broker.config.default_queue_type
        self._vhosts = {name: each.default_queue_type or default for name, each in broker.defined_vhosts.items()}
        #: Objects that the document declares: exchanges with their types, and queues.
        self._exchanges: dict[tuple[str, str], ExchangeType] = {}
        self._queues: set[tuple[str, str]] = set()
        self._left_out = LeftOut() if left_out is None else left_out

    def __iter__(self) -> Iterator[Step]:
        whole = self._vhost is None
        sections = (
            ("users", self._user, whole),
            ("vhosts", self._vhost_step, whole),
            ("permissions", self._permission, whole),
            ("exchanges", self._exchange, True),
            ("topic_permissions", self._topic_permission, whole),
            ("global_parameters", self._global_parameter, whole),
            ("policies", self._policy, True),
            ("parameters", self._parameter, True),
            ("queues", self._queue, True),
            ("bindings", self._binding, True),
            # They begin at once, and would declare what the document has otherwise.
            ("parameters", self._shovel, True),
        )
        for section, make, wanted in sections:
            for entry in self._entries(section) if wanted else ():
                step = _explained(entry.where, partial(make, entry))
                if step is not None:
                    yield partial(_explained, entry.where, step)

    def _entries(self, section: str) -> Iterator[_Entry]:
        entries = self._document.get(section)
        if not isinstance(entries, list | None):
            raise failure.wrong_type(section, "", entries, "a list")
        for number, values in enumerate(entries or ()):
            where = f"{section}[{number}]"
            if not isinstance(values, dict):
                raise failure.wrong_type(where, "", values, "an object")
            yield _Entry(where, values)

    # --- who ----------------------------------------------------------------------------------------------------------

    def _user(self, entry: _Entry) -> Step:
        name = entry.text("name")
        if not name:
            raise failure.malformed(entry.where, "a user needs a name")
        users = self._broker.users
        known = credentials(entry.values, self._hashing, users.user(name) if users.has(name) else None)
        limits = entry.object("limits")
        self._broker.limits.check_user(limits)
        self._users.add(name)
        return partial(self._put_user, name, known, limits)

    @cached_property
    def _hashing(self) -> str:
        """The algorithm of hashes that do not say their own: RabbitMQ before 3.6.0 had another."""
        version = self._document.get("rabbitmq_version") or self._document.get("rabbit_version")
        numbers = re.match(r"(\d+)\.(\d+)", version if isinstance(version, str) else "")
        return MD5 if numbers is not None and (int(numbers[1]), int(numbers[2])) < (3, 6) else SHA256

    def _put_user(self, name: str, known: Credentials, limits: dict[str, int]) -> None:
        self._broker.users.put_user(name, *known)
        if limits:
            self._broker.limits.replace_user(name, {**self._broker.limits.user(name), **limits})

    def _permission(self, entry: _Entry) -> Step:
        user, vhost, *patterns = (entry.text(key) for key in ("user", "vhost", "configure", "write", "read"))
        self._check_patterns(patterns)
        self._check_user_and_vhost(user, vhost)
        return partial(self._broker.users.set_permissions, user, vhost, *patterns)

    def _topic_permission(self, entry: _Entry) -> Step:
        user, vhost, exchange, *patterns = (entry.text(key) for key in ("user", "vhost", "exchange", "write", "read"))
        self._check_patterns(patterns)
        self._check_user_and_vhost(user, vhost)
        return partial(self._broker.users.set_topic_permissions, user, vhost, exchange, *patterns)

    def _check_patterns(self, patterns: list[str]) -> None:
        for pattern in patterns:
            try:
                Pattern(pattern)
            except PatternError as error:
                raise failure.invalid_pattern(pattern, error) from error

    def _check_user_and_vhost(self, user: str, vhost: str) -> None:
        if user not in self._users:
            raise failure.no_user(user)
        self._check_vhost(vhost)

    # --- where --------------------------------------------------------------------------------------------------------

    def _vhost_step(self, entry: _Entry) -> Step:
        name = entry.text("name")
        described = description(entry.values, entry.object("metadata"))
        queue_type = described.default_queue_type
        if queue_type is not None and queue_type not in KINDS:
            raise failure.malformed(entry.where, f"Unsupported queue type '{queue_type}'")
        if name in self._vhosts:
            described = described._replace(default_queue_type=None)  # as in RabbitMQ, it stays what it is
        else:
            self._vhosts[name] = queue_type or self._broker.config.default_queue_type
        return partial(put_vhost, self._broker, name, described, self._maker)

    def _vhost_of(self, entry: _Entry) -> str:
        vhost = entry.text("vhost") if self._vhost is None else self._vhost
        self._check_vhost(vhost)
        return vhost

    def _check_vhost(self, vhost: str) -> None:
        if vhost not in self._vhosts:
            raise failure.no_vhost(vhost)

    # --- parameters and policies --------------------------------------------------------------------------------------

    def _global_parameter(self, entry: _Entry) -> Step | None:
        name, value = entry.text("name"), entry.values.get("value")
        return None if name == IMPORTED_HASH else partial(self._broker.global_parameters.put, name, value)

    def _policy(self, entry: _Entry) -> Step:
        vhost, name = self._vhost_of(entry), entry.text("name")
        values = entry.values
        pattern, whole = entry.text("pattern"), values.get("definition", {})
        definition, unknown = _without_unknown_keys(whole, False, self._broker.policies)
        what = f"policy {quoted(name)} in vhost {quoted(vhost)}"
        if unknown and not definition:
            return warning(what, f"it has nothing but keys that do not exist here, {unknown}")
        policy = Policy(
            vhost,
            name,
            pattern,
            definition,
            values.get("apply-to", "all"),
            values.get("priority", 0),
        )
        try:
            self._broker.policies.check(policy)
        except ValueError as error:
            raise DefinitionsError(f"{error} ({vhost}/{name})") from error
        return _both(partial(self._broker.policies.put, policy), _keys_warning(what, unknown))

    def _parameter(self, entry: _Entry) -> Step | None:
        return None if entry.text("component") == SHOVEL else self._any_parameter(entry)

    def _shovel(self, entry: _Entry) -> Step | None:
        return self._any_parameter(entry) if entry.text("component") == SHOVEL else None

    def _any_parameter(self, entry: _Entry) -> Step:
        vhost = self._vhost_of(entry)
        component, name, value = entry.text("component"), entry.text("name"), entry.values.get("value")
        what = f"parameter {quoted(name)} of {quoted(component)} in vhost {quoted(vhost)}"
        if not self._broker.parameters.has(component):
            return warning(what, "there is no such component here")
        if component == SHOVEL and speaks_amqp10(value):
            return warning(what, "there is no AMQP 1.0 here")
        unknown = ""
        if component == OPERATOR_POLICY and isinstance(value, dict):
            definition, unknown = _without_unknown_keys(value.get("definition"), True, self._broker.policies)
            if unknown and not definition:
                return warning(what, f"it has nothing but keys that do not exist here, {unknown}")
            value = {**value, "definition": definition} if unknown else value
        try:
            self._broker.parameters.check(component, name, value)
        except ValueError as error:
            raise DefinitionsError(f"{error} ({vhost}/{component}/{name})") from error
        return _both(partial(self._broker.parameters.put, component, vhost, name, value), _keys_warning(what, unknown))

    # --- exchanges, queues, bindings ----------------------------------------------------------------------------------

    def _exchange(self, entry: _Entry) -> Step | None:
        vhost, name = self._vhost_of(entry), entry.text("name")
        if name == "" or name.startswith("amq.") or self._finds_exchange(vhost, name):
            return None
        kind, arguments = entry.text("type"), entry.arguments()
        durable, auto_delete = entry.flag("durable", False), entry.flag("auto_delete", False)
        internal = entry.flag("internal", False)
        missing_type = missing_exchange_type(kind, arguments, known_exchange_types(self._broker.config.compat))
        if missing_type is not None:
            why = f"there is no exchange type {quoted(missing_type)} here"
            return self._left_out.add("exchange", vhost, name, why)
        self._exchanges[vhost, name] = build_exchange_type(kind, arguments, self._broker.clock, _ignore)
        alternate_exchange(name, vhost, arguments)
        return partial(self._declare_exchange, vhost, name, kind, durable, auto_delete, internal, arguments)

    def _declare_exchange(self, vhost: str, name: str, *declared: Any) -> None:
        if name not in self._broker.vhosts[vhost].exchanges:
            self._broker.vhosts[vhost].declare_exchange(name, *declared)

    def _queue(self, entry: _Entry) -> Step | None:
        vhost, name = self._vhost_of(entry), entry.text("name")
        if self._finds_queue(vhost, name):
            return None if (vhost, name) in self._queues else partial(self._redeclare_queue, vhost, name, entry)
        if name.startswith("amq."):
            return self._left_out.add("queue", vhost, name, "its name is reserved for what the broker itself names")
        durable, auto_delete = entry.flag("durable", False), entry.flag("auto_delete", False)
        arguments = entry.arguments()
        checked = []
        try:
            parse_declaration(
                name,
                vhost,
                durable=durable,
                exclusive=False,
                auto_delete=auto_delete,
                arguments=arguments,
                default_queue_type=self._vhosts[vhost],
                compat=self._broker.config.compat,
                check_limits=lambda: checked.append("arguments"),
            )
        except AmqpError as error:
            # RabbitMQ imports the rest without a queue whose arguments are right and whose properties are wrong.
            if not checked or error.code != 406:
                raise
            return self._left_out.add("queue", vhost, name, error.explanation)
        self._queues.add((vhost, name))
        return partial(self._declare_queue, vhost, name, durable, auto_delete, arguments)

    def _declare_queue(self, vhost: str, name: str, durable: bool, auto_delete: bool, arguments: Table) -> None:
        if name not in self._broker.vhosts[vhost].queues:
            self._broker.vhosts[vhost].declare_queue(name, durable, False, auto_delete, arguments, unlimited=True)

    def _redeclare_queue(self, vhost: str, name: str, entry: _Entry) -> None:
        """Declare a queue that existed before the import, unless RabbitMQ's rule is in force, which ignores the entry.

        A queue with other flags, or with a difference that cannot be accepted, stays as it is.
        """
        found = self._broker.vhosts[vhost]
        if found.redeclaration_mode(name) in (None, STRICT):
            return
        durable, auto_delete = entry.flag("durable", False), entry.flag("auto_delete", False)
        try:
            found.declare_queue(name, durable, False, auto_delete, entry.arguments(), unlimited=True)
        except AmqpError as error:
            if error.code not in (405, 406):
                raise
            warning(f"queue {quoted(name)} in vhost {quoted(vhost)}", f"it exists: {error.explanation}")()

    def _binding(self, entry: _Entry) -> Step | None:
        vhost, source = self._vhost_of(entry), entry.text("source")
        destination, kind = entry.text("destination"), entry.text("destination_type")
        routing_key, arguments = entry.text("routing_key").encode(), entry.arguments()
        if source == "":
            return None
        if kind not in ("queue", "exchange"):
            raise failure.malformed(entry.where, '"destination_type" is to be queue or exchange')
        source_type = self._finds_exchange(vhost, source)
        found = self._finds_queue if kind == "queue" else self._finds_exchange
        for end, name, there in (
            ("exchange", source, source_type is not None),
            (kind, destination, bool(found(vhost, destination))),
        ):
            if not there and self._left_out.has(end, vhost, name):
                what = f"binding of exchange {quoted(source)} to {kind} {quoted(destination)} in vhost {quoted(vhost)}"
                return warning(what, f"{end} {quoted(name)} is not here")
            if not there:
                raise failure.missing(end, vhost, name)
        assert source_type is not None
        if kind == "exchange" and destination == "":
            raise failure.malformed(entry.where, "nothing can be bound to the default exchange")
        source_type.validate_binding(routing_key, arguments, self._broker.config.compat)
        return partial(self._bind, vhost, source, kind, destination, routing_key, arguments)

    def _bind(self, name: str, source: str, kind: str, destination: str, routing_key: bytes, arguments: Table) -> None:
        vhost = self._broker.vhosts[name]
        end = vhost.queue(destination, None) if kind == "queue" else vhost.exchange(destination)
        vhost.bind(vhost.exchange(source), end, routing_key, arguments)

    def _finds_exchange(self, vhost: str, name: str) -> ExchangeType | None:
        """The type of an exchange that is there, or will be when bindings are made."""
        existing = self._broker.vhosts.get(vhost)
        if existing is not None and name in existing.exchanges:
            return existing.exchanges[name].type
        if name.startswith("amq.") and existing is None:
            kind = dict(PREDECLARED).get(name)
            return None if kind is None else build_exchange_type(kind, {}, self._broker.clock, _ignore)
        return self._exchanges.get((vhost, name))

    def _finds_queue(self, vhost: str, name: str) -> bool:
        existing = self._broker.vhosts.get(vhost)
        return (existing is not None and name in existing.queues) or (vhost, name) in self._queues


def _explained(where: str, do: Callable[[], _Result]) -> _Result:
    """Call `do`; raise its errors as a DefinitionsError with the place `where`, except for AmqpError 506."""
    try:
        return do()
    except DefinitionsError as error:
        error.place = error.place or where
        raise
    except ApiError as error:
        raise DefinitionsError(str(failure.explained(error)), where) from error
    except AmqpError as error:
        if error.code == 506:
            # The document is not the reason: nothing can be stored at the moment.
            raise
        raise DefinitionsError(str(failure.refused(error)), where) from error
    except (ValueError, LookupError) as error:
        raise DefinitionsError(str(error), where) from error


def _without_unknown_keys(definition: Any, operator: bool, policies: Policies) -> tuple[Any, str]:
    """The definition of a policy without the keys that there are not, and these in words."""
    unknown = policies.unknown_keys(definition, operator) if isinstance(definition, dict) else []
    if not unknown:
        return definition, ""
    known = {key: value for key, value in definition.items() if key not in unknown}
    return known, ", ".join(map(quoted, unknown))


def _keys_warning(what: str, unknown: str) -> Step | None:
    return warning(f"{unknown} of {what}", "there are no such keys here") if unknown else None


def _both(step: Step, further: Step | None) -> Step:
    def run() -> None:
        step()
        if further is not None:
            further()

    return step if further is None else run

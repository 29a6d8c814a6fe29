"""All errors that reach a client, each text once, as RabbitMQ words it.

An `AmqpError` describes the error; `amqp` sends it as channel.close or connection.close, depending on its scope (AMQP
0-9-1 section 1.2 and the table in rabbit_framing; RabbitMQ's `rabbit_binary_generator:map_exception`).
"""

from typing import Final, Literal

Scope = Literal["channel", "connection"]

#: The upper limit of max_message_size.
MAX_MESSAGE_SIZE: Final = 536_870_912

#: The reply code of an internal error of the broker.
INTERNAL_ERROR: Final = 541

#: code -> (name, scope). Source: AMQP 0-9-1 constants. A soft error closes a channel, a hard error the connection.
REPLY_CODES: dict[int, tuple[str, Scope]] = {
    311: ("CONTENT_TOO_LARGE", "channel"),
    312: ("NO_ROUTE", "channel"),
    313: ("NO_CONSUMERS", "channel"),
    320: ("CONNECTION_FORCED", "connection"),
    402: ("INVALID_PATH", "connection"),
    403: ("ACCESS_REFUSED", "channel"),
    404: ("NOT_FOUND", "channel"),
    405: ("RESOURCE_LOCKED", "channel"),
    406: ("PRECONDITION_FAILED", "channel"),
    501: ("FRAME_ERROR", "connection"),
    502: ("SYNTAX_ERROR", "connection"),
    503: ("COMMAND_INVALID", "connection"),
    504: ("CHANNEL_ERROR", "connection"),
    505: ("UNEXPECTED_FRAME", "connection"),
    506: ("RESOURCE_ERROR", "connection"),
    530: ("NOT_ALLOWED", "connection"),
    540: ("NOT_IMPLEMENTED", "connection"),
    INTERNAL_ERROR: ("INTERNAL_ERROR", "connection"),
}


#: Surrogate escapes, which stand for bytes that are not UTF-8 -> the characters that Erlang prints for these bytes.
_LATIN_1 = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}


class AmqpError(Exception):
    """A client's mistake or the broker's refusal, with the reply code, text and scope that are sent to the client.

    `explanation` is the part after "NAME - "; `text` is the whole reply-text, which ends with "..." if it was cut to
    fit a shortstr (rabbit_binary_generator:amqp_exception_explanation).
    """

    def __init__(self, code: int, explanation: str) -> None:
        name, scope = REPLY_CODES[code]
        self.code = code
        self.explanation = explanation.translate(_LATIN_1)
        self.scope: Scope = scope
        self.text = f"{name} - {self.explanation}"
        encoded = self.text.encode()
        if len(encoded) > 255:
            self.text = encoded[:252].decode("utf-8", "ignore") + "..."
        super().__init__(self.text)


def access_refused(explanation: str) -> AmqpError:
    return AmqpError(403, explanation)


def not_found(explanation: str) -> AmqpError:
    return AmqpError(404, explanation)


def resource_locked(explanation: str) -> AmqpError:
    return AmqpError(405, explanation)


def precondition_failed(explanation: str) -> AmqpError:
    return AmqpError(406, explanation)


def frame_error(explanation: str) -> AmqpError:
    return AmqpError(501, explanation)


def syntax_error(explanation: str) -> AmqpError:
    return AmqpError(502, explanation)


def command_invalid(explanation: str) -> AmqpError:
    return AmqpError(503, explanation)


def channel_error(explanation: str) -> AmqpError:
    return AmqpError(504, explanation)


def unexpected_frame(explanation: str) -> AmqpError:
    return AmqpError(505, explanation)


def not_allowed(explanation: str) -> AmqpError:
    return AmqpError(530, explanation)


def not_implemented(explanation: str) -> AmqpError:
    return AmqpError(540, explanation)


def internal_error(explanation: str) -> AmqpError:
    return AmqpError(INTERNAL_ERROR, explanation)


def unforeseen() -> AmqpError:
    """Return an internal error that refers to the broker's log, where the cause is recorded."""
    return internal_error("internal error, see the broker's log")


def resource_error(explanation: str) -> AmqpError:
    return AmqpError(506, explanation)


# --- missing queues and exchanges ------------------------------------------------------------------------------------


def no_queue(name: str, vhost: str) -> AmqpError:
    return not_found(f"no queue '{name}' in vhost '{vhost}'")


def no_exchange(name: str, vhost: str) -> AmqpError:
    return not_found(f"no exchange '{name}' in vhost '{vhost}'")


def no_previously_declared_queue() -> AmqpError:
    return not_found("no previously declared queue")


# --- permissions and reserved names ----------------------------------------------------------------------------------


def access_refused_to(permission: str, kind: str, name: str, vhost: str, user: str) -> AmqpError:
    """Return a permission error. permission: configure, write or read. kind: exchange or queue."""
    return access_refused(f"{permission} access to {kind} '{name}' in vhost '{vhost}' refused for user '{user}'")


def topic_access_refused(permission: str, routing_key: str, exchange: str, vhost: str, user: str) -> AmqpError:
    return access_refused(
        f"{permission} access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}'"
        f" refused for user '{user}'"
    )


def reserved_queue_name(name: str) -> AmqpError:
    return access_refused(f"queue name '{name}' contains reserved prefix 'amq.*'")


def reserved_exchange_name(name: str) -> AmqpError:
    return access_refused(f"exchange name '{name}' contains reserved prefix 'amq.*'")


def default_exchange_refused() -> AmqpError:
    return access_refused("operation not permitted on the default exchange")


def system_exchange_deletion_refused(name: str, vhost: str) -> AmqpError:
    return access_refused(f"deletion of system exchange '{name}' in vhost '{vhost}' not allowed")


def internal_exchange_publish_refused(name: str, vhost: str) -> AmqpError:
    return access_refused(f"cannot publish to internal exchange '{name}' in vhost '{vhost}'")


def queue_in_exclusive_use(name: str, vhost: str) -> AmqpError:
    return access_refused(f"queue '{name}' in vhost '{vhost}' in exclusive use")


# --- declare, delete -------------------------------------------------------------------------------------------------


def queue_locked(name: str, vhost: str) -> AmqpError:
    return resource_locked(
        f"cannot obtain exclusive access to locked queue '{name}' in vhost '{vhost}'. It could be originally declared"
        " on another connection or the exclusive property value does not match that of the original declaration."
    )


def inequivalent_argument(argument: str, kind: str, name: str, vhost: str, received: str, current: str) -> AmqpError:
    """Return the error for a declaration that differs from the existing one.

    kind: queue or exchange. received, current: already quoted, or `none`.
    """
    return precondition_failed(
        f"inequivalent arg '{argument}' for {kind} '{name}' in vhost '{vhost}':"
        f" received {received} but current is {current}"
    )


def invalid_queue_argument(argument: str, name: str, vhost: str, reason: str) -> AmqpError:
    """Return the error for a bad argument. reason: an Erlang term such as `{value_negative,-1}`."""
    return precondition_failed(f"invalid arg '{argument}' for queue '{name}' in vhost '{vhost}': {reason}")


def invalid_exchange_argument(argument: str, name: str, vhost: str, reason: str) -> AmqpError:
    """Return the error for a bad argument, as for queues; RabbitMQ checks no argument that has this error."""
    return precondition_failed(f"invalid arg '{argument}' for exchange '{name}' in vhost '{vhost}': {reason}")


def invalid_header(name: str, problem: str) -> AmqpError:
    """Return the error for a header of an extension that is invalid, or contradicts earlier ones."""
    return precondition_failed(f"invalid header '{name}': {problem}")


def ttl_too_long(name: str, given_ms: int, most_ms: int, setting: str) -> AmqpError:
    """Return the error for a header with a longer time than a setting allows."""
    return invalid_header(name, f"expected at most {most_ms} milliseconds (setting {setting}), got {given_ms}")


def share_limit(kind: str, most: int, user: str, vhost: str) -> AmqpError:
    """Return the error for a message that would exceed the share of its user. kind: such as batches."""
    return precondition_failed(
        f"user '{user}' has reached the limit of {most} {kind} in vhost '{vhost}'; delete some, or publish again later"
    )


def vhost_limit(kind: str, most: int, vhost: str) -> AmqpError:
    """Return the error for a message that would exceed a limit of its vhost. kind: such as batches."""
    return precondition_failed(f"vhost '{vhost}' has reached the limit of {most} {kind}; publish again later")


def job_limit(kind: str, most: int, vhost: str) -> AmqpError:
    """Return the error for a job that would exceed a limit. kind: jobs in the vhost, or copies of the job."""
    return precondition_failed(f"vhost '{vhost}' has a limit of {most} {kind}")


def argument_not_of_queue_type(argument: str, name: str, vhost: str, queue_module: str) -> AmqpError:
    """Return the error for an argument that a queue type does not have.

    queue_module: RabbitMQ's name of the queue type, such as rabbit_classic_queue.
    """
    return precondition_failed(
        f"invalid arg '{argument}' for queue '{name}' in vhost '{vhost}' of queue type {queue_module}"
    )


def invalid_queue_property(prop: str, name: str, vhost: str) -> AmqpError:
    """Return the error for a property that a queue type does not allow.

    prop: non-durable, exclusive-owner or auto-delete.
    """
    return precondition_failed(f"invalid property '{prop}' for queue '{name}' in vhost '{vhost}'")


def invalid_argument_type(argument: str, kind: str, name: str, vhost: str, type_name: str) -> AmqpError:
    """Return the error for an argument that should name an exchange. type_name: see wire.values.TYPE_NAMES."""
    return precondition_failed(f"invalid type '{type_name}' for arg '{argument}' in {kind} '{name}' in vhost '{vhost}'")


def cluster_queue_limit(name: str, limit: int) -> AmqpError:
    return precondition_failed(f"cannot declare queue '{name}': queue limit in cluster ({limit}) is reached")


def cluster_exchange_limit(name: str, limit: int) -> AmqpError:
    return precondition_failed(f"cannot declare exchange '{name}': exchange limit in cluster ({limit}) is reached")


def queue_limit(name: str, vhost: str, limit: int) -> AmqpError:
    return precondition_failed(f"cannot declare queue '{name}': queue limit in vhost '{vhost}' ({limit}) is reached")


def server_named_queue_refused(queue_module: str) -> AmqpError:
    return precondition_failed(f"Cannot declare a server-named queue for type {queue_module}")


def stream_refuses(method: str, name: str, vhost: str) -> AmqpError:
    return not_implemented(f"{method} not supported by stream queues queue '{name}' in vhost '{vhost}'")


def stream_needs_prefetch(name: str, vhost: str) -> AmqpError:
    return precondition_failed(f"consumer prefetch count is not set for stream queue '{name}' in vhost '{vhost}'")


def stream_needs_acknowledgements(name: str, vhost: str) -> AmqpError:
    return not_implemented(f"automatic acknowledgement not supported by stream queue '{name}' in vhost '{vhost}'")


def stream_unreadable(name: str, vhost: str, reason: str) -> AmqpError:
    """Return the error for a stream that cannot be read now. The text is not RabbitMQ's."""
    return internal_error(f"queue '{name}' in vhost '{vhost}' cannot be read: {reason}; consume again later")


def deprecated_feature_denied(feature: str, overridden: bool) -> AmqpError:
    """Return the error for a denied deprecated feature (rabbit_deprecated_features.erl).

    overridden: the configuration denies a feature that is permitted by default.
    """
    why = (
        "Its use is not permitted per the configuration (overriding the default, which is permitted):\n"
        f'    "deprecated_features.permit.{feature} = false"\n'
        "Its use will not be permitted by default in a future minor RabbitMQ version and the feature will be removed"
        " from a future major RabbitMQ version; actual versions to be determined.\n"
        if overridden
        else "By default, this feature is not permitted anymore.\n"
        "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; actual"
        " version to be determined.\n"
    )
    return internal_error(
        f"Feature `{feature}` is deprecated.\n{why}"
        "To continue using this feature when it is not permitted by default, set the following parameter in your"
        f' configuration:\n    "deprecated_features.permit.{feature} = true"'
    )


def in_use(kind: str, name: str, vhost: str) -> AmqpError:
    return precondition_failed(f"{kind} '{name}' in vhost '{vhost}' in use")


def queue_not_empty(name: str, vhost: str) -> AmqpError:
    return precondition_failed(f"queue '{name}' in vhost '{vhost}' not empty")


def invalid_exchange_type(name: str) -> AmqpError:
    return precondition_failed(f"invalid exchange type '{name}'")


def unknown_exchange_type(name: str) -> AmqpError:
    return precondition_failed(f"unknown exchange type '{name}'")


# --- errors of single exchange types ---------------------------------------------------------------------------------


def invalid_x_match_value(value: str) -> AmqpError:
    """Return the error for an unknown x-match. value: an Erlang binary such as `<<"foo">>`."""
    return precondition_failed(f"Invalid x-match field value {value}; expected all, any, all-with-x, or any-with-x")


def invalid_x_match_type(kind: str, value: str) -> AmqpError:
    """Return the error for an x-match that is not a string. value: an Erlang term."""
    return precondition_failed(f"Invalid x-match field type {kind} (value {value}); expected longstr")


def binding_weight_no_integer(routing_key: str) -> AmqpError:
    """Return the error for a bad weight. routing_key: an Erlang binary such as `<<"abc">>`."""
    return precondition_failed(f"The binding key must be an integer: {routing_key}")


def binding_weight_not_positive() -> AmqpError:
    return precondition_failed("The binding key must be greater than 0")


def hash_arguments_exclusive() -> AmqpError:
    return precondition_failed("hash-header and hash-property are mutually exclusive")


def unsupported_hash_property(name: str) -> AmqpError:
    return precondition_failed(f"Unsupported property: {name}")


def hash_argument_no_longstr(argument: str, kind: str) -> AmqpError:
    """Return the error for a bad hash argument.

    The text is ours: RabbitMQ closes the connection with INTERNAL_ERROR.
    """
    return precondition_failed(f"Invalid {argument} field type {kind}; expected longstr")


def binding_key_not_permitted(routing_key: str) -> AmqpError:
    return precondition_failed(f"Non empty binding '{routing_key}' key not permitted")


def too_many_hashes(routing_key: str, found: int, most: int) -> AmqpError:
    return precondition_failed(
        f"Topic binding key '{routing_key}' uses {found} '#' wildcards, at most {most} are allowed"
    )


def delayed_type_missing() -> AmqpError:
    return precondition_failed("Invalid argument, 'x-delayed-type' must be an existing exchange type")


def delayed_type_delayed() -> AmqpError:
    return precondition_failed("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")


def delayed_type_deduplicating() -> AmqpError:
    return precondition_failed(
        "Invalid argument, 'x-message-deduplication' can't be used for 'x-delayed-type': give the delayed exchange the"
        " argument 'x-message-deduplication'"
    )


# --- publish, consume, acknowledge -----------------------------------------------------------------------------------


def message_too_large(size: int, limit: int) -> AmqpError:
    configured = "" if limit == MAX_MESSAGE_SIZE else "configured "
    return precondition_failed(f"message size {size} is larger than {configured}max size {limit}")


def partial_transaction() -> AmqpError:
    return precondition_failed("partial tx completion")


def invalid_expiration(value: str, reason: str) -> AmqpError:
    return precondition_failed(f"invalid expiration '{value}': {reason}")


def user_id_mismatch(user_id: str, user: str) -> AmqpError:
    return precondition_failed(f"user_id property set to '{user_id}' but authenticated user was '{user}'")


def invalid_message_header(header: str, kind: str) -> AmqpError:
    return precondition_failed(f'invalid message: {{unacceptable_type_in_header,"{header}",{kind}}}')


def too_many_routing_keys() -> AmqpError:
    return precondition_failed("invalid message: there are too many routing keys in its CC and BCC headers")


def unknown_delivery_tag(tag: int) -> AmqpError:
    return precondition_failed(f"unknown delivery tag {tag}")


def delivery_timed_out(channel: int, timeout_ms: int) -> AmqpError:
    return precondition_failed(
        f"delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout_ms} ms."
        " This timeout value can be configured, see consumers doc guide to learn more"
    )


def consumer_tag_reused(tag: str) -> AmqpError:
    return not_allowed(f"attempt to reuse consumer tag '{tag}'")


def too_many_consumers(limit: int) -> AmqpError:
    return not_allowed(f"reached maximum ({limit}) of consumers per channel")


def get_on_single_active(name: str, vhost: str, kind: str) -> AmqpError:
    return resource_locked(
        f"cannot obtain access to locked queue '{name}' in vhost '{vhost}'. basic.get operations are not supported"
        f" by {kind} queues with single active consumer"
    )


# --- the store -------------------------------------------------------------------------------------------------------


def not_stored(reason: str) -> AmqpError:
    """Return the error for a durable change that could not be written and was not made. The text is not RabbitMQ's."""
    return resource_error(f"the change cannot be stored: {reason}")


# --- connection ------------------------------------------------------------------------------------------------------


def vhost_not_found(name: str) -> AmqpError:
    return not_allowed(f"vhost {name} not found")


def vhost_access_refused(vhost: str, user: str) -> AmqpError:
    return not_allowed(f"access to vhost '{vhost}' refused for user '{user}'")


def login_refused(mechanism: str) -> AmqpError:
    return access_refused(
        f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
    )


def vhost_connection_limit(vhost: str, user: str, limit: int) -> AmqpError:
    return not_allowed(f"access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached")


def user_connection_limit(user: str, limit: int) -> AmqpError:
    return not_allowed(f"connection refused for user '{user}': user connection limit ({limit}) is reached")


def node_channel_limit(node: str, limit: int) -> AmqpError:
    return not_allowed(f"number of channels opened on node '{node}' has reached the maximum allowed limit of ({limit})")


def user_channel_limit(node: str, limit: int) -> AmqpError:
    """Return the error for a user's channel limit. RabbitMQ's text names the node in place of the user."""
    return not_allowed(
        f"number of channels opened for user '{node}' has reached the maximum allowed user limit of ({limit})"
    )


def vhost_deleted(name: str) -> AmqpError:
    return AmqpError(320, f"vhost '{name}' is deleted")


def user_deleted(name: str) -> AmqpError:
    return AmqpError(320, f"user '{name}' is deleted")


def too_many_channels(opened: int, limit: int) -> AmqpError:
    return not_allowed(f"number of channels opened ({opened}) has reached the negotiated channel_max ({limit})")


def closed_by_management(reason: str) -> AmqpError:
    """Return the error for a connection closed by a management request.

    reason: the X-Reason header of the request, "" for none.
    """
    return AmqpError(320, reason or "Closed via management plugin")


def shutdown() -> AmqpError:
    return AmqpError(320, "broker forced connection closure with reason 'shutdown'")


def vhost_led_elsewhere(vhost: str) -> AmqpError:
    return AmqpError(320, f"another broker leads vhost '{vhost}' now; connect again")


def vhost_without_leader(vhost: str) -> AmqpError:
    return AmqpError(320, f"no broker leads vhost '{vhost}' at the moment; connect again in a few seconds")


def vhost_out_of_reach(vhost: str) -> AmqpError:
    """Return the error for a vhost whose leader does not answer this broker; the reason is in the log."""
    return AmqpError(
        320, f"the broker that leads vhost '{vhost}' cannot be reached from this one; connect again in a few seconds"
    )


def no_files_for_vhost(vhost: str) -> AmqpError:
    return AmqpError(
        320, f"no more files may be open here to reach the broker that leads vhost '{vhost}'; connect to that broker"
    )


def certificate_too_long(vhost: str) -> AmqpError:
    return AmqpError(
        320,
        f"the client's certificate has too many names for this broker to pass them on; connect to the broker"
        f" that leads vhost '{vhost}'",
    )


def node_connection_limit(limit: int) -> AmqpError:
    return not_allowed(f"connection refused: node connection limit ({limit}) is reached")


# --- queue types -----------------------------------------------------------------------------------------------------


def conditional_delete_refused(name: str, vhost: str, kind: str, if_unused: bool) -> AmqpError:
    condition = "if-unused" if if_unused else "if-empty"
    return not_implemented(
        f"cannot delete queue '{name}' in vhost '{vhost}'. queue.delete operations with {condition} flag set are not"
        f" supported by {kind} queues"
    )


def global_qos_refused(name: str, vhost: str) -> AmqpError:
    return not_implemented(f"queue '{name}' in vhost '{vhost}' does not support global qos")

"""Queue arguments: which are refused and with which words, and what a second declare compares (2.4)."""

from __future__ import annotations

from typing import Any

from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

TEN_YEARS_MS = 315_360_000_000
DURABLE = {"durable": True}

INTEGER_VALUES: dict[str, Any] = {
    "negative": -1,
    "zero": 0,
    "one": 1,
    "int8": Value("b", 5),
    "uint8": Value("B", 5),
    "int16": Value("s", 5),
    "uint16": Value("u", 5),
    "uint32": Value("i", 5),
    "int64": Value("l", 5),
    "text": "5",
    "text_no_number": "abc",
    "float": 5.0,
    "float_single": Value("f", 5.0),
    "bool": True,
    "void": None,
    "table": {},
    "array": [],
    "decimal": Value("D", (0, 5)),
    "timestamp": Value("T", 5),
    "binary": Value("x", b"5"),
    "ten_years": Value("l", TEN_YEARS_MS),
    "more_than_ten_years": Value("l", TEN_YEARS_MS + 1),
    "64_bits": Value("l", 2**63 - 1),
    "2_to_the_32": Value("l", 2**32),
}
INTEGER_ARGUMENTS = ("x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority")
COMMON = ("negative", "zero", "one", "int8", "int64", "text", "float", "bool", "void", "64_bits")
LESS: dict[str, tuple[str, ...]] = {
    "x-message-ttl": tuple(INTEGER_VALUES),
    "x-expires": (*COMMON, "ten_years", "more_than_ten_years"),
}


def short(argument: str) -> str:
    """`x-message-ttl` -> `message_ttl`."""
    return argument.removeprefix("x-").replace("-", "_")


@family(
    {
        f"{short(argument)}_{name}": (argument, INTEGER_VALUES[name])
        for argument in INTEGER_ARGUMENTS
        for name in LESS.get(argument, COMMON)
    }
)
def integer(lab: Lab, argument: str, value: Any) -> None:
    """A whole-number argument of a classic queue with all sorts of values."""
    lab.channel().queue(lab.q(), arguments={argument: value})


@family({"256": (256,), "255": (255,), "1000": (1000,), "10": (10,)})
def max_priority(lab: Lab, value: int) -> None:
    """The number of priorities that a classic queue may have."""
    lab.channel().queue(lab.q(), arguments={"x-max-priority": value})


TEXT_VALUES: dict[str, Any] = {
    "int": 5,
    "void": None,
    "bool": True,
    "table": {},
    "array": [],
    "binary": Value("x", b"a"),
}
TEXT_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "x-dead-letter-exchange": ("", "nope", "with space"),
    "x-dead-letter-routing-key": ("", "key"),
    "x-overflow": ("drop-head", "reject-publish", "reject-publish-dlx", "", "drop", "DROP-HEAD"),
    "x-queue-mode": ("lazy", "default", "", "foo"),
    "x-queue-type": ("classic", "", "foo", "Classic", "rabbit_classic_queue"),
    "x-queue-leader-locator": ("client-local", "balanced", "random", "", "foo"),
    "x-queue-master-locator": ("client-local", "min-masters", "random", "foo"),
    "x-queue-version": (1, 2, 0, 3, -1, "2"),
    "x-single-active-consumer": (True, False, "true", 1, None),
}


def _text_rows() -> dict[str, tuple[Any, ...]]:
    rows: dict[str, tuple[Any, ...]] = {}
    for argument, values in TEXT_ARGUMENTS.items():
        for value in values:
            kind = (
                "text_"
                if isinstance(value, str) and argument in ("x-queue-version", "x-single-active-consumer")
                else ""
            )
            name = str(value).lower().replace(" ", "_").replace("-", "_") or "empty"
            name = "minus_1" if value == -1 else name
            if value == "DROP-HEAD" or value == "Classic":
                name += "_in_capitals"
            rows[f"{short(argument)}_{kind}{name}"] = (argument, value)
        if argument not in ("x-queue-version", "x-single-active-consumer"):
            for name, value in TEXT_VALUES.items():
                if argument == "x-dead-letter-exchange" or name in ("int", "void", "table"):
                    rows[f"{short(argument)}_type_{name}"] = (argument, value)
    return rows


@family(_text_rows())
def text(lab: Lab, argument: str, value: Any) -> None:
    """An argument that is a text, a flag or a version, with all sorts of values."""
    lab.channel().queue(lab.q(), durable=True, arguments={argument: value})


@family(
    {
        "delivery_limit": ("x-delivery-limit", 5),
        "quorum_initial_group_size": ("x-quorum-initial-group-size", 1),
        "dead_letter_strategy": ("x-dead-letter-strategy", "at-most-once"),
        "max_in_memory_length": ("x-max-in-memory-length", 5),
        "max_in_memory_bytes": ("x-max-in-memory-bytes", 5),
        "max_age": ("x-max-age", "1h"),
        "stream_max_segment_size_bytes": ("x-stream-max-segment-size-bytes", 1000000),
        "stream_filter_size_bytes": ("x-stream-filter-size-bytes", 16),
        "initial_cluster_size": ("x-initial-cluster-size", 1),
        "unknown": ("x-my-own", "anything"),
        "unknown_without_x": ("my-own", {"a": 1}),
        "consumer_timeout": ("x-consumer-timeout", 60000),
        "consumer_timeout_text": ("x-consumer-timeout", "60000"),
        "ha_policy": ("x-ha-policy", "all"),
        "alternate_exchange": ("alternate-exchange", "x"),
    }
)
def classic(lab: Lab, argument: str, value: Any) -> None:
    """An argument of another queue type, or of none, on a classic queue."""
    lab.channel().queue(lab.q(), durable=True, arguments={argument: value})


@family(
    {
        "max_priority": ({"x-max-priority": 5},),
        "queue_mode": ({"x-queue-mode": "lazy"},),
        "queue_version": ({"x-queue-version": 2},),
        "max_age": ({"x-max-age": "1h"},),
        "message_ttl": ({"x-message-ttl": 1000},),
        "message_ttl_negative": ({"x-message-ttl": -1},),
        "message_ttl_text": ({"x-message-ttl": "5"},),
        "expires": ({"x-expires": 100000},),
        "expires_zero": ({"x-expires": 0},),
        "max_length": ({"x-max-length": 5},),
        "max_length_zero": ({"x-max-length": 0},),
        "max_length_negative": ({"x-max-length": -1},),
        "max_length_bytes_text": ({"x-max-length-bytes": "1"},),
        "delivery_limit": ({"x-delivery-limit": 5},),
        "delivery_limit_zero": ({"x-delivery-limit": 0},),
        "delivery_limit_minus_1": ({"x-delivery-limit": -1},),
        "delivery_limit_minus_2": ({"x-delivery-limit": -2},),
        "delivery_limit_text": ({"x-delivery-limit": "5"},),
        "group_size": ({"x-quorum-initial-group-size": 1},),
        "group_size_zero": ({"x-quorum-initial-group-size": 0},),
        "group_size_text": ({"x-quorum-initial-group-size": "1"},),
        "strategy_once": ({"x-dead-letter-strategy": "at-most-once"},),
        "strategy_least": ({"x-dead-letter-strategy": "at-least-once"},),
        "strategy_foo": ({"x-dead-letter-strategy": "foo"},),
        "strategy_int": ({"x-dead-letter-strategy": 1},),
        "overflow_reject": ({"x-overflow": "reject-publish"},),
        "overflow_dlx": ({"x-overflow": "reject-publish-dlx"},),
        "overflow_foo": ({"x-overflow": "foo"},),
        "single_active": ({"x-single-active-consumer": True},),
        "single_active_text": ({"x-single-active-consumer": "yes"},),
        "in_memory_length": ({"x-max-in-memory-length": 5},),
        "in_memory_length_negative": ({"x-max-in-memory-length": -5},),
        "in_memory_bytes": ({"x-max-in-memory-bytes": 5},),
        "dlrk_without_dlx": ({"x-dead-letter-routing-key": "k"},),
        "dlx_missing": ({"x-dead-letter-exchange": "nope"},),
        "leader_locator": ({"x-queue-leader-locator": "balanced"},),
        "unknown": ({"x-my-own": 1},),
        "type_in_capitals": ({"x-queue-type": "Quorum"},),
    }
)
def quorum(lab: Lab, arguments: dict[str, Any]) -> None:
    """Arguments of a quorum queue."""
    lab.channel().queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"} | arguments)


@family(
    {
        "transient": ({},),
        "exclusive": ({"durable": True, "exclusive": True},),
        "auto_delete": ({"durable": True, "auto_delete": True},),
        "transient_exclusive": ({"exclusive": True},),
        "transient_auto_delete": ({"auto_delete": True},),
    }
)
def quorum_property(lab: Lab, flags: dict[str, Any]) -> None:
    """Properties that a quorum queue cannot have."""
    lab.channel().queue(lab.q(), arguments={"x-queue-type": "quorum"}, **flags)


@family({"quorum": ("quorum",), "stream": ("stream",)})
def server_named(lab: Lab, kind: str) -> None:
    """The server does not name replicated queues."""
    lab.channel().queue("", durable=True, arguments={"x-queue-type": kind})


@family(
    {
        "transient": ({}, {}),
        "exclusive": ({"durable": True, "exclusive": True}, {}),
        "max_length": (DURABLE, {"x-max-length": 5}),
        "message_ttl": (DURABLE, {"x-message-ttl": 5}),
        "dead_letter_exchange": (DURABLE, {"x-dead-letter-exchange": "x"}),
        "max_age_bad": (DURABLE, {"x-max-age": "1x"}),
        "max_age_int": (DURABLE, {"x-max-age": 5}),
    }
)
def stream(lab: Lab, flags: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Arguments and properties that a stream cannot have."""
    lab.channel().queue(lab.q(), arguments={"x-queue-type": "stream"} | arguments, **flags)


@family(
    {
        "two_bad": ({"x-message-ttl": -1, "x-expires": 0},),
        "two_bad_other_order": ({"x-expires": 0, "x-message-ttl": -1},),
        "bad_and_foreign": ({"x-message-ttl": -1, "x-delivery-limit": 5},),
        "foreign_and_bad": ({"x-delivery-limit": 5, "x-message-ttl": -1},),
        "bad_type_and_bad": ({"x-queue-type": "foo", "x-message-ttl": -1},),
        "dlrk_without_dlx": ({"x-dead-letter-routing-key": "k"},),
        "dlrk_with_dlx": ({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k"},),
        "lazy_priority": ({"x-queue-mode": "lazy", "x-max-priority": 5},),
        "all_good": (
            {
                "x-message-ttl": 60000,
                "x-expires": 60000,
                "x-max-length": 10,
                "x-max-length-bytes": 1000,
                "x-max-priority": 3,
                "x-overflow": "drop-head",
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "k",
            },
        ),
    }
)
def together(lab: Lab, arguments: dict[str, Any]) -> None:
    """Several arguments at once: which error wins."""
    lab.channel().queue(lab.q(), durable=True, arguments=arguments)


@case()
def twice(lab: Lab) -> None:
    """The same argument twice with two values."""
    ch = lab.channel()
    pairs: Any = [("x-message-ttl", 1000), ("x-message-ttl", 2000)]
    ch.queue(lab.q(), arguments=pairs)
    ch.queue(lab.q(), arguments={"x-message-ttl": 1000})
    ch.queue(lab.q(), arguments={"x-message-ttl": 2000})


EQUIVALENCE: dict[str, tuple[Any, Any]] = {
    "ttl_missing": ({"x-message-ttl": 1000}, {}),
    "ttl_added": ({}, {"x-message-ttl": 1000}),
    "ttl_other": ({"x-message-ttl": 1000}, {"x-message-ttl": 2000}),
    "ttl_int64": ({"x-message-ttl": 1000}, {"x-message-ttl": Value("l", 1000)}),
    "ttl_int16": ({"x-message-ttl": 1000}, {"x-message-ttl": Value("s", 1000)}),
    "ttl_int64_first_missing": ({"x-message-ttl": Value("l", 1000)}, {}),
    "ttl_uint16_first_missing": ({"x-message-ttl": Value("u", 1000)}, {}),
    "ttl_int8_first_missing": ({"x-message-ttl": Value("b", 100)}, {}),
    "ttl_uint8_first_missing": ({"x-message-ttl": Value("B", 100)}, {}),
    "ttl_int16_first_missing": ({"x-message-ttl": Value("s", 1000)}, {}),
    "ttl_uint32_first_missing": ({"x-message-ttl": Value("i", 1000)}, {}),
    "ttl_int64_capital_first_missing": ({"x-message-ttl": Value("L", 1000)}, {}),
    "max_length_bytes_other": ({"x-max-length-bytes": 1}, {"x-max-length-bytes": 2}),
    "dlrk_missing": (
        {"x-dead-letter-exchange": "a", "x-dead-letter-routing-key": "k"},
        {"x-dead-letter-exchange": "a"},
    ),
    "dlx_added": ({}, {"x-dead-letter-exchange": "a"}),
    "expires_added": ({}, {"x-expires": 100000}),
    "max_length_missing": ({"x-max-length": 1}, {}),
    "queue_mode_other": ({"x-queue-mode": "lazy"}, {"x-queue-mode": "default"}),
    "master_locator_other": ({"x-queue-master-locator": "random"}, {"x-queue-master-locator": "min-masters"}),
    "single_active_added": ({}, {"x-single-active-consumer": True}),
    "expires_other": ({"x-expires": 100000}, {"x-expires": 200000}),
    "expires_missing": ({"x-expires": 100000}, {}),
    "max_length_other": ({"x-max-length": 1}, {"x-max-length": 2}),
    "max_length_bytes_added": ({}, {"x-max-length-bytes": 1}),
    "max_priority_other": ({"x-max-priority": 1}, {"x-max-priority": 2}),
    "max_priority_added": ({}, {"x-max-priority": 2}),
    "dlx_other": ({"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": "b"}),
    "dlx_missing": ({"x-dead-letter-exchange": "a"}, {}),
    "dlx_binary_missing": ({"x-dead-letter-exchange": "žluť"}, {}),
    "dlrk_other": (
        {"x-dead-letter-exchange": "a", "x-dead-letter-routing-key": "k"},
        {"x-dead-letter-exchange": "a", "x-dead-letter-routing-key": "l"},
    ),
    "overflow_added": ({}, {"x-overflow": "drop-head"}),
    "overflow_other": ({"x-overflow": "reject-publish"}, {"x-overflow": "drop-head"}),
    "single_active_missing": ({"x-single-active-consumer": True}, {}),
    "single_active_other": ({"x-single-active-consumer": True}, {"x-single-active-consumer": False}),
    "single_active_false_missing": ({"x-single-active-consumer": False}, {}),
    "queue_mode_added": ({}, {"x-queue-mode": "lazy"}),
    "queue_mode_default_added": ({}, {"x-queue-mode": "default"}),
    "queue_version_added": ({}, {"x-queue-version": 2}),
    "queue_version_other": ({"x-queue-version": 1}, {"x-queue-version": 2}),
    "type_classic_added": ({}, {"x-queue-type": "classic"}),
    "type_classic_missing": ({"x-queue-type": "classic"}, {}),
    "type_quorum_wanted": ({}, {"x-queue-type": "quorum"}),
    "type_quorum_missing": ({"x-queue-type": "quorum"}, {}),
    "type_quorum_now_classic": ({"x-queue-type": "quorum"}, {"x-queue-type": "classic"}),
    "leader_locator_other": ({"x-queue-leader-locator": "balanced"}, {"x-queue-leader-locator": "client-local"}),
    "leader_locator_added": ({}, {"x-queue-leader-locator": "balanced"}),
    "unknown_added": ({}, {"x-my-own": 1}),
    "unknown_other": ({"x-my-own": 1}, {"x-my-own": 2}),
    "unknown_missing": ({"x-my-own": 1}, {}),
    "two_other": (
        {"x-message-ttl": 1000, "x-max-length": 1},
        {"x-message-ttl": 2000, "x-max-length": 2},
    ),
    "invalid_second": ({"x-message-ttl": 1000}, {"x-message-ttl": -1}),
    "foreign_second": ({}, {"x-delivery-limit": 5}),
    "delivery_limit_other": (
        {"x-queue-type": "quorum", "x-delivery-limit": 5},
        {"x-queue-type": "quorum", "x-delivery-limit": 6},
    ),
    "delivery_limit_missing": ({"x-queue-type": "quorum", "x-delivery-limit": 5}, {"x-queue-type": "quorum"}),
    "quorum_classic_argument_added": ({"x-queue-type": "quorum"}, {"x-queue-type": "quorum", "x-max-priority": 5}),
    "group_size_other": (
        {"x-queue-type": "quorum", "x-quorum-initial-group-size": 1},
        {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3},
    ),
    "strategy_added": (
        {"x-queue-type": "quorum"},
        {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-most-once"},
    ),
}


@family(EQUIVALENCE)
def equivalence(lab: Lab, first: dict[str, Any], second: dict[str, Any]) -> None:
    """A second declare whose arguments differ from the first."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments=first)
    ch.queue(lab.q(), durable=True, arguments=second)


@case()
def equivalence_flag_before_argument(lab: Lab) -> None:
    """A flag and an argument differ."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments={"x-message-ttl": 1000})
    ch.queue(lab.q(), durable=True, auto_delete=True, arguments={"x-message-ttl": 2000})


@case()
def equivalence_quorum_flags(lab: Lab) -> None:
    """A quorum queue declared again as clients declare their classic queues."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.queue(lab.q(), exclusive=True, arguments={"x-queue-type": "quorum"})


#: One value of each wire type, and further values for range checks. Decimals have a separate case.
EVERY_TYPE: dict[str, Any] = {
    "int8": Value("b", 5),
    "uint8": Value("B", 5),
    "int16": Value("s", 5),
    "uint16": Value("u", 5),
    "int32": 5,
    "uint32": Value("i", 5),
    "int64": Value("l", 5),
    "float": Value("f", 5.0),
    "double": 5.0,
    "bool": True,
    "void": None,
    "text": "abc",
    "empty": "",
    "number_as_text": "5",
    "binary": Value("x", b"abc"),
    "table": {"a": 1},
    "array": [1],
    "timestamp": Value("T", 5),
    "zero": 0,
    "negative": -1,
}
#: Arguments of the existing queue by queue type; 5 where possible, so that only the wire type differs.
FULL: dict[str, dict[str, Any]] = {
    "classic": {
        "x-expires": 60000,
        "x-message-ttl": 60000,
        "x-dead-letter-exchange": "abc",
        "x-dead-letter-routing-key": "abc",
        "x-max-length": 5,
        "x-max-length-bytes": 5,
        "x-max-priority": 5,
        "x-overflow": "reject-publish",
        "x-queue-mode": "lazy",
        "x-queue-version": 2,
        "x-single-active-consumer": True,
        "x-queue-type": "classic",
        "x-queue-master-locator": "min-masters",
        "x-queue-leader-locator": "balanced",
    },
    "quorum": {
        "x-dead-letter-exchange": "abc",
        "x-dead-letter-routing-key": "abc",
        "x-dead-letter-strategy": "at-most-once",
        "x-expires": 60000,
        "x-max-length": 5,
        "x-max-length-bytes": 5,
        "x-max-in-memory-length": 5,
        "x-max-in-memory-bytes": 5,
        "x-overflow": "reject-publish",
        "x-single-active-consumer": True,
        "x-queue-type": "quorum",
        "x-quorum-initial-group-size": 1,
        "x-delivery-limit": 5,
        "x-message-ttl": 60000,
        "x-queue-leader-locator": "balanced",
    },
}
EACH = {f"{kind}_{short(argument)}": (kind, argument) for kind, full in FULL.items() for argument in full}


def _bare(kind: str) -> dict[str, Any]:
    """Return the arguments that a queue of this type requires."""
    return {"x-queue-type": kind} if kind == "quorum" else {}


def _declare(lab: Lab, name: str, arguments: dict[str, Any], **flags: Any) -> None:
    """Declare a queue on a new channel, since the broker may close the channel."""
    lab.channel().queue(name, arguments=arguments, **(DURABLE | flags))


@family(EACH)
def declared_with_every_type(lab: Lab, kind: str, argument: str) -> None:
    """New queue with one argument of every wire type, with and without other wrong arguments."""
    ch = lab.channel()
    for value in EVERY_TYPE.values():
        for others in ({}, {"x-max-length-bytes": "wrong"}, {"x-queue-leader-locator": "wrong", "x-max-age": 5}):
            _declare(lab, lab.q(), _bare(kind) | others | {argument: value})
            ch.delete(lab.q())


@family(EACH)
def redeclared_with_every_type(lab: Lab, kind: str, argument: str) -> None:
    """Queue declared again with one argument of every wire type, which is compared, not validated."""
    _declare(lab, lab.q("full"), FULL[kind])
    _declare(lab, lab.q("bare"), _bare(kind))
    for value in EVERY_TYPE.values():
        _declare(lab, lab.q("full"), FULL[kind] | {argument: value})
        _declare(lab, lab.q("bare"), _bare(kind) | {argument: value})


@family(EACH)
def redeclared_with_a_wrong_overflow(lab: Lab, kind: str, argument: str) -> None:
    """Queue declared again with an x-overflow of a wrong type and another differing argument: the argument named."""
    _declare(lab, lab.q("full"), FULL[kind])
    _declare(lab, lab.q("bare"), _bare(kind))
    for overflow in (Value("b", 5), "nonsense", None):
        for value in (7, "other", Value("b", 3)):
            changed = {"x-overflow": overflow, argument: value}
            _declare(lab, lab.q("full"), FULL[kind] | changed)
            _declare(lab, lab.q("bare"), _bare(kind) | changed)
            _declare(lab, lab.q("new"), _bare(kind) | changed)
        _declare(lab, lab.q("full"), {name: it for name, it in FULL[kind].items() if name != argument})


@family({f"{kind}_{flag}": (kind, flag) for kind in FULL for flag in ("durable", "auto_delete", "exclusive")})
def redeclared_with_a_flag(lab: Lab, kind: str, flag: str) -> None:
    """Queue declared again with another flag and another argument."""
    _declare(lab, lab.q(), FULL[kind])
    for changed in (
        {"x-overflow": Value("b", 5)},
        {"x-max-length": 6},
        {"x-queue-type": "nonsense"},
        {"x-queue-type": "stream"},
        {"x-dead-letter-exchange": 5},
        {"x-max-age": "1h"},
    ):
        _declare(lab, lab.q(), FULL[kind] | changed, **{flag: flag != "durable"})


@family({kind: (kind,) for kind in FULL})
def redeclared_with_a_decimal(lab: Lab, kind: str) -> None:
    """Queue declared again with a decimal in place of another value."""
    _declare(lab, lab.q(), FULL[kind])
    lab.channel(lab.connect()).queue(lab.q(), durable=True, arguments=FULL[kind] | {"x-expires": Value("D", (0, 5))})

"""Commands for brokers with one database: hand vhosts over, drain and revive a broker (rabbitmq-upgrade, -queues)."""

import time
from collections.abc import Callable
from typing import Any

from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.failure import CtlError

GROUP = "Maintenance"

#: Seconds between two looks whether a request is carried out.
_PAUSE_S = 0.1
#: Most vhosts that an error names.
_MOST_NAMES = 10


def transfer_leadership(call: Call) -> str:
    vhost, broker = call.words[0], call.words[1:]
    done = call.api.post("leadership/transfer", {"vhost": vhost, **({"broker": broker[0]} if broker else {})})
    name = done["broker"]
    if not done["hands_over"]:
        return f"{name} leads vhost '{vhost}' already"
    left = _await_moves(call, {vhost: name})
    if left:
        raise CtlError(f"vhost '{vhost}' is not led by {name} after {call.timeout_s:g} s: see the logs of the brokers")
    return f"{name} leads vhost '{vhost}' now"


def rebalance(call: Call) -> Any:
    moves = call.api.post("leadership/rebalance")["moves"]
    left = _await_moves(call, {move["vhost"]: move["to"] for move in moves})
    if left:
        raise CtlError(
            f"{len(left)} of {len(moves)} vhosts have not moved after {call.timeout_s:g} s: {_named(left)}. They move"
            " when the brokers can take them"
        )
    return Rows(["vhost", "from", "to"], [[move["vhost"], move["from"], move["to"]] for move in moves])


def drain(call: Call) -> str:
    done = _changed(call, "maintenance/drain")
    name = done["broker"]
    if not done["hands_over"]:
        return f"{name} is drained"
    left: list[str] = []
    if not _await(call, lambda: _have_left(call, name, done["vhosts"], left)):
        what = (
            f"{len(left)} of its vhosts have no other leader: {_named(left)}" if left else "it writes the definitions"
        )
        raise CtlError(
            f"{name} is drained, and after {call.timeout_s:g} s {what}. Other brokers take over when they can: see"
            " their logs"
        )
    return f"{name} is drained, and other brokers lead its vhosts"


def revive(call: Call) -> str:
    return f"{_changed(call, 'maintenance/revive')['broker']} may lead again"


def _changed(call: Call, path: str) -> dict[str, Any]:
    done: dict[str, Any] = call.api.post(path, {"broker": call.words[0]} if call.words else {})
    return done


def _await(call: Call, is_done: Callable[[], bool]) -> bool:
    """Wait for the time limit at most; return whether it is done."""
    end = time.monotonic() + call.timeout_s
    while not is_done():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_S)
    return True


def _await_moves(call: Call, wanted: dict[str, str]) -> list[str]:
    """Wait until brokers serve vhosts as their leaders; return the vhosts that are left after the time limit.

    wanted: names of brokers by vhost.
    """
    left: list[str] = []

    def are_done() -> bool:
        # A broker that leads a vhost may have to read its messages first.
        left[:] = [
            vhost["name"]
            for vhost in _vhosts(call)
            if wanted.get(vhost["name"], vhost["leader"]) != vhost["leader"]
            or (vhost["name"] in wanted and not vhost["cluster_state"])
        ]
        return not left

    _await(call, are_done)
    return left


def _vhosts(call: Call) -> list[dict[str, Any]]:
    """Return the vhosts with their leaders, and with their states where they are served."""
    found: list[dict[str, Any]] = call.api.get("vhosts?columns=name,leader,cluster_state")
    return found


def _have_left(call: Call, name: str, vhosts: list[str], left: list[str]) -> bool:
    """Return whether other brokers serve the vhosts of a drained broker, and write the definitions.

    left: gets the vhosts that they do not serve yet.
    """
    left[:] = [
        vhost["name"]
        for vhost in _vhosts(call)
        if vhost["name"] in vhosts and (vhost["leader"] in ("", name) or not vhost["cluster_state"])
    ]
    if left:
        return False
    # If the database does not answer, a broker knows only itself.
    nodes = call.api.get("nodes")
    return all("led_vhosts" in node for node in nodes) and not any(
        node["led_vhosts"] or node["writes_definitions"] for node in nodes if node["name"] == name
    )


def _named(vhosts: list[str]) -> str:
    return ", ".join(vhosts[:_MOST_NAMES]) + (", ..." if len(vhosts) > _MOST_NAMES else "")


def _broker(call: Call, default: str) -> str:
    return f"broker {call.words[0]}" if call.words else default


COMMANDS = (
    Command(
        "transfer_leadership",
        GROUP,
        "Hands a vhost over to another broker with the same database.",
        "<vhost> [<broker>]",
        transfer_leadership,
        lambda call: f"Transferring the leadership of {call.words[0]} ...",
    ),
    Command(
        "rebalance",
        GROUP,
        "Hands vhosts over, also those with clients, until all brokers with one database lead as many as each other.",
        "[all]",
        rebalance,
        "Rebalancing vhosts ...",
    ),
    Command(
        "drain",
        GROUP,
        "Drains a broker with a database: it hands its vhosts over, and leads no more.",
        "[<broker>]",
        drain,
        lambda call: f"Will put {_broker(call, 'the broker')} into maintenance mode. It will no longer lead!",
    ),
    Command(
        "revive",
        GROUP,
        "Lets a drained broker lead again.",
        "[<broker>]",
        revive,
        lambda call: f"Will put {_broker(call, 'the broker')} back into a normal operating mode. It may lead again.",
    ),
)

"""Commands for brokers with one database: hand the leadership over, drain and revive a broker (rabbitmq-upgrade)."""

import time
from typing import Any

from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.failure import CtlError

GROUP = "Maintenance"

#: Seconds between two attempts to find the next leader.
_PAUSE_S = 0.1


def transfer_leadership(call: Call) -> str:
    done = _changed(call, "leadership/transfer")
    if not done["hands_over"]:
        return f"{done['broker']} leads already"
    _await_leader(call, done["epoch"])
    return f"{done['broker'] or 'Another broker'} leads now"


def drain(call: Call) -> str:
    done = _changed(call, "maintenance/drain")
    if done["hands_over"]:
        _await_leader(call, done["epoch"])
        return f"{done['broker']} is drained, and another broker leads now"
    return f"{done['broker']} is drained"


def revive(call: Call) -> str:
    return f"{_changed(call, 'maintenance/revive')['broker']} may lead again"


def _changed(call: Call, path: str) -> dict[str, Any]:
    done: dict[str, Any] = call.api.post(path, {"broker": call.words[0]} if call.words else {})
    return done


def _await_leader(call: Call, epoch: int) -> None:
    """Wait for the leader of a later epoch. Raises CtlError after the time limit."""
    end = time.monotonic() + call.timeout_s
    while True:
        try:
            if call.api.epoch() > epoch:
                return
        except CtlError:
            # The old leader closes its listeners before it waits.
            pass
        if time.monotonic() > end:
            raise CtlError(
                f"the leadership was given up, and no broker leads after {call.timeout_s:g} s. Check the logs of the"
                " other brokers; a broker that is drained leads after a restart"
            )
        time.sleep(_PAUSE_S)


def _broker(call: Call, default: str) -> str:
    return f"broker {call.words[0]}" if call.words else default


COMMANDS = (
    Command(
        "transfer_leadership",
        GROUP,
        "Hands the leadership over to another broker with the same database.",
        "[<broker>]",
        transfer_leadership,
        lambda call: f"Transferring the leadership to {_broker(call, 'another broker')} ...",
    ),
    Command(
        "drain",
        GROUP,
        "Drains a broker with a database: it hands the leadership over, and leads no more.",
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

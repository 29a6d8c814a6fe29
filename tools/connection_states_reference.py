"""`python -m tools.connection_states_reference` writes docs/reference/connection-states.md from the table of states."""

from pathlib import Path

from amqpbroker.amqp.state import CONNECTED, HANDSHAKE_TIMEOUT, HEADER, LINGERING, NEVER, STATES, State

PATH = Path(__file__).parent.parent / "docs" / "reference" / "connection-states.md"

INTRODUCTION = """\
# Connection states

The states of an AMQP connection and what the broker does in each of them. The page is generated from the table that the
broker acts on. A transition that is not listed under "Next" is not made: a connection that is closed stays closed.

"State in the API" is the field `state` of `/api/connections`. "Counts" says whether the connection is listed there and
counts for the limits of vhosts and users. A connection begins to count when it is opened, and ceases in the first state
that does not count. An error before the opening may lead to a state in which a connection counts only if it was open.

| State | The connection | State in the API | Counts | Closes after | Next |
|---|---|---|---|---|---|
"""

CHANNEL_ZERO = """
## Methods on channel 0

The error 504 for a method that is not acted on is "unexpected method during the handshake" before the connection is
open, and "unexpected method in connection state running" afterwards.

| State | Acted on | Other methods |
|---|---|---|
"""

INPUT = """
## Frames of channels, errors and heartbeats

- Frames that are *held* are handled when the state changes. The socket is not read meanwhile, so TCP slows the client
  down, and its silence does not count as missed heartbeats.
- Frames that are *refused* are error 505.
- Before the protocol header, nothing is taken for a frame. Eight bytes that are no header of AMQP 0-9-1 are answered
  with the broker's own header, and the socket is closed.
- Heartbeats begin with connection.tune-ok. A client that is silent for two intervals is disconnected.
- Output is written in every state. In `closed`, the socket is closed once the rest is written.

| State | Frames of channels | Errors of the connection | Silence of the client |
|---|---|---|---|
"""

ALARMS = """
## Alarms and the disk

Of an open connection, an alarm and a disk that is slower than its publishers decide the state:

| State | Alarm | Blocked | Waits for the disk |
|---|---|---|---|
"""


def is_greeted(state: State) -> bool:
    """Return whether the protocol header has come, and what follows is frames."""
    return state not in (CONNECTED, HEADER)


def counts(state: State) -> str:
    """Return when a connection in the state counts."""
    if not state.counted:
        return ""
    return "yes" if state.open else "if it was open"


def frames(state: State) -> str:
    """Return how frames of channels are treated."""
    if not is_greeted(state) or state.deaf:
        return "discarded" if state.deaf else ""
    if state.held:
        return "held"
    if state.open:
        return "handled"
    return "refused" if state.refusal else "ignored"


def errors(state: State) -> str:
    """Return how the client learns of an error of the connection."""
    if state.sends_close:
        return "connection.close"
    if state.private:
        return "not told: `lingering`" if LINGERING.name in state.follows else ""
    return "none is looked for" if state.deaf else "ignored"


def silence(state: State) -> str:
    """Return whether the silence of the client ends the connection."""
    if state.deaf or state.private:
        return "no heartbeats"
    return "allowed" if state.held else "ends it"


def others(state: State) -> str:
    """Return how methods on channel 0 that are not acted on are treated."""
    if not is_greeted(state) or state.deaf:
        return "discarded" if state.deaf else ""
    if state.held:
        return "held"
    return "error 504" if state.refusal else "ignored"


def ends_after(state: State) -> str:
    """Return the deadline of the state."""
    if state.ends_after_ms == HANDSHAKE_TIMEOUT:
        return "`handshake_timeout`"
    return "" if state.ends_after_ms == NEVER else f"{state.ends_after_ms // 1000} s"


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for state in STATES:
        following = ", ".join(f"`{each.name}`" for each in STATES if each.name in state.follows)
        shown = f"`{state.shown}`" if state.shown else ""
        cells = [f"`{state.name}`", state.meaning, shown, counts(state), ends_after(state), following]
        parts.append(f"| {' | '.join(cells)} |\n")
    parts.append(CHANNEL_ZERO)
    for state in STATES:
        acted_on = ", ".join(f"`{name}`" for name in sorted(state.acts_on)) if not state.held else ""
        parts.append(f"| `{state.name}` | {acted_on} | {others(state)} |\n")
    parts.append(INPUT)
    parts += [f"| `{state.name}` | {frames(state)} | {errors(state)} | {silence(state)} |\n" for state in STATES]
    parts.append(ALARMS)
    for state in STATES:
        if state.open:
            cells = ["yes" if flag else "" for flag in (state.alarmed, state.blocked, state.outrun)]
            parts.append(f"| `{state.name}` | {' | '.join(cells)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(page())

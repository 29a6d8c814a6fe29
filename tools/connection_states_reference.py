"""`python -m tools.connection_states_reference` writes docs/reference/connection-states.md from the table of states."""

from pathlib import Path

from amqpbroker.amqp.state import (
    CLOSED,
    CLOSING_TIMEOUT,
    CLOSING_TIMEOUT_MS,
    CONNECTED,
    HANDSHAKE_TIMEOUT,
    HEADER,
    LINGERING,
    NEVER,
    STATES,
    State,
)

PATH = Path(__file__).parent.parent / "docs" / "reference" / "connection-states.md"

INTRODUCTION = """\
# Connection states

This page lists the states of an AMQP connection and the broker's behaviour in each of them. It is generated from the
broker's own table. A transition that is not listed under "Next" does not exist: a closed connection stays closed.

"State in the API" is the field `state` of `/api/connections`. "Counts" shows whether the connection is listed there and
counts towards the limits of vhosts and users. A connection counts from its opening until the first state that does not
count. After an error before the opening, a connection can be in a state in which it counts only if it was open.

| State | Description: the connection ... | State in the API | Counts | Closes after | Next |
|---|---|---|---|---|---|
"""

CHANNEL_ZERO = """
## Methods on channel 0

A method that is not handled gets the error 504 "unexpected method during the handshake" before the connection is open,
and "unexpected method in connection state running" afterwards.

| State | Handled methods | Other methods |
|---|---|---|
"""

INPUT = """
## Frames of channels, errors and heartbeats

- Frames that are *held* are handled when the state changes. The socket is not read meanwhile, so TCP slows the client
  down, and its silence does not count as missed heartbeats.
- Frames that are *refused* get error 505.
- Data before the protocol header is not parsed as frames. If the first eight bytes are not a header of AMQP 0-9-1, the
  broker answers with its own header and closes the socket.
- Heartbeats begin with connection.tune-ok and are sent until the socket is closed. A client that is silent for two
  intervals is disconnected. After a connection.close of either side, the client may be silent.
- Output is written in every state. In `closed`, the socket is closed once the rest is written.

| State | Frames of channels | Errors of the connection | Silence of the client |
|---|---|---|---|
"""

ENDS = """
## End of the socket

The broker ends connections as RabbitMQ 4.0.5 does, in each state and after the same time. The recordings are in
`conformance/endings.json`; `python -m conformance endings` repeats them.

- Without TLS, the broker closes the socket with a TCP reset (RST), so that the next write of the client fails at once.
  After a FIN it would succeed, and an unconfirmed message would be lost unnoticed. A broker that is killed resets its
  sockets as well.
- With TLS, the broker sends close_notify and FIN, and does not wait for the client's close_notify.
- A reset discards data that the operating system has not sent yet. So the broker first waits until the client's host
  has received all output, such as connection.close. After 5 seconds it sends FIN instead. RabbitMQ resets at once. On
  systems other than Linux, which do not report unsent data, the end is a FIN.
- A client that has missed its heartbeats is disconnected at once, with its unsent output.
- If the client sends FIN first, the broker closes the socket at once, and with a FIN if it has unsent output. RabbitMQ
  may wait for the deadline of the state.
"""

ALARMS = """
## Alarms and the disk

The state of an open connection depends on alarms and on whether the disk is slower than its publishers:

| State | Alarm | Blocked | Waits for the disk |
|---|---|---|---|
"""


def is_greeted(state: State) -> bool:
    """Return whether the protocol header has arrived, so that frames follow."""
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
        return "not sent: `lingering`" if LINGERING.name in state.follows else ""
    return "not detected" if state.deaf else "ignored"


def silence(state: State) -> str:
    """Return whether the silence of the client ends the connection."""
    if state.private or state is CLOSED:
        return "no heartbeats"
    closing = state.ends_after_ms == CLOSING_TIMEOUT or state is LINGERING
    return "allowed" if state.held or closing else "closes it"


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
    if state.ends_after_ms == CLOSING_TIMEOUT:
        return f"one heartbeat interval, at most {CLOSING_TIMEOUT_MS // 1000} s"
    return "" if state.ends_after_ms == NEVER else f"{state.ends_after_ms // 1000} s"


def page() -> str:
    """Return the whole page."""
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
    parts += [ENDS, ALARMS]
    for state in STATES:
        if state.open:
            cells = ["yes" if flag else "" for flag in (state.alarmed, state.blocked, state.outrun)]
            parts.append(f"| `{state.name}` | {' | '.join(cells)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(page())

"""The states of a connection: the permissions of each state, and the states that may follow.

docs/reference/connection-states.md is generated from this table.
"""

from collections.abc import Iterable
from typing import Final, final

#: Reply text of the error for a method that a state does not handle.
_HANDSHAKE: Final = "unexpected method during the handshake"
_RUNNING: Final = "unexpected method in connection state running"

#: Values of `State.ends_after_ms` for states without a deadline, for states under the handshake's deadline, and for
#: states that end after the heartbeat interval, or CLOSING_TIMEOUT_MS if that is shorter or heartbeats are off.
NEVER: Final = 0
HANDSHAKE_TIMEOUT: Final = -1
CLOSING_TIMEOUT: Final = -2
#: Longest time between connection.close and the end of the connection (CLOSING_TIMEOUT in rabbit_reader.erl).
CLOSING_TIMEOUT_MS: Final = 30_000
#: Delay before the socket is closed after an error that ends all communication (rabbit_reader.erl).
SILENT_CLOSE_DELAY_MS: Final = 3_000


@final
class State:
    """A state of a connection.

    meaning: the state in a few words. acts_on: methods on channel 0 that are handled. refusal: reply text of the error
    504 for other methods; "" if they are ignored. open: frames of channels are handled. alarmed, blocked, outrun: of an
    open connection, see `Blocking`. held: no frame is handled until the state changes. deaf: input is discarded.
    private: the client is not logged in, so the client is not told of errors, and payloads may be secrets. counted: a
    connection that has been opened stays in the list of connections and counts for limits; it leaves both with a state
    that is not counted. shown: the state in the management API. phase: the state in the log. ends_after_ms: time until
    the connection closes. follows: names of states that may follow.
    """

    __slots__ = (
        "acts_on",
        "alarmed",
        "blocked",
        "counted",
        "deaf",
        "ends_after_ms",
        "follows",
        "held",
        "meaning",
        "name",
        "open",
        "outrun",
        "phase",
        "private",
        "refusal",
        "shown",
    )

    def __init__(
        self,
        name: str,
        meaning: str,
        follows: Iterable[str],
        *,
        acts_on: Iterable[str] = (),
        refusal: str = "",
        is_open: bool = False,
        alarmed: bool = False,
        blocked: bool = False,
        outrun: bool = False,
        held: bool = False,
        deaf: bool = False,
        private: bool = False,
        counted: bool = False,
        shown: str = "closing",
        phase: str = "running",
        ends_after_ms: int = NEVER,
    ) -> None:
        self.name: str = name
        self.meaning: str = meaning
        self.follows: frozenset[str] = frozenset(follows)
        self.acts_on: frozenset[str] = frozenset(acts_on)
        self.refusal: str = refusal
        self.open: bool = is_open
        self.alarmed: bool = alarmed
        self.blocked: bool = blocked
        self.outrun: bool = outrun
        self.held: bool = held
        self.deaf: bool = deaf
        self.private: bool = private
        self.counted: bool = counted
        self.shown: str = shown
        self.phase: str = phase
        self.ends_after_ms: int = ends_after_ms

    @property
    def sends_close(self) -> bool:
        """Return whether an error of the connection is answered with connection.close."""
        return self.refusal != "" and not self.private

    def __repr__(self) -> str:
        return f"State({self.name!r})"


def _handshake(name: str, meaning: str, follows: Iterable[str], acts_on: Iterable[str], held: bool) -> State:
    """Return a state before the connection is open."""
    private = name not in ("opening", "handing over", "authorizing")
    return State(
        name,
        meaning,
        follows,
        acts_on=acts_on,
        refusal=_HANDSHAKE,
        held=held,
        private=private,
        shown="",
        phase="starting" if private else "opening",
        ends_after_ms=HANDSHAKE_TIMEOUT,
    )


def _open(name: str, meaning: str, shown: str, follows: Iterable[str], alarm: str, outrun: bool) -> State:
    """Return a state of an open connection. alarm: "", "on", or "blocks"."""
    return State(
        name,
        meaning,
        (*follows, "closing", "closed by client", "closed"),
        acts_on=("connection.close", "connection.update-secret"),
        refusal=_RUNNING,
        is_open=True,
        alarmed=alarm != "",
        blocked=alarm == "blocks",
        outrun=outrun,
        held=alarm == "blocks" or outrun,
        counted=True,
        shown=shown,
    )


CONNECTED: Final = _handshake("connected", "has received nothing yet", ("header", "closed"), (), held=False)
HEADER: Final = _handshake(
    "header",
    "waits for the rest of the protocol header",
    ("starting", "lingering", "closed"),
    (),
    held=False,
)
STARTING: Final = _handshake(
    "starting",
    "has sent connection.start",
    ("authenticating", "lingering", "closed"),
    ("connection.start-ok",),
    held=False,
)
AUTHENTICATING: Final = _handshake(
    "authenticating",
    "waits for the backend to authenticate the client",
    ("tuning", "refused", "lingering", "closed"),
    (),
    held=True,
)
TUNING: Final = _handshake(
    "tuning",
    "has sent connection.tune",
    ("opening", "lingering", "closed"),
    ("connection.tune-ok",),
    held=False,
)
OPENING: Final = _handshake(
    "opening",
    "waits for connection.open",
    ("handing over", "authorizing", "closing", "closed"),
    ("connection.open",),
    held=False,
)
HANDING_OVER: Final = _handshake(
    "handing over",
    "is handed over to the broker that leads the vhost",
    ("authorizing", "closing", "closed"),
    (),
    held=True,
)
AUTHORIZING: Final = _handshake(
    "authorizing",
    "waits for the backend to return the client's permissions in the vhost",
    ("running", "closing", "closed"),
    (),
    held=True,
)
RUNNING: Final = _open("running", "is open", "running", ("blocking", "flow"), "", outrun=False)
BLOCKING: Final = _open(
    "blocking",
    "is open while an alarm is on; the next message blocks it",
    "blocking",
    ("running", "blocked", "blocking, flow"),
    "on",
    outrun=False,
)
BLOCKED: Final = _open(
    "blocked", "has published while an alarm is on", "blocked", ("running", "blocked, flow"), "blocks", outrun=False
)
FLOW: Final = _open(
    "flow",
    "has published faster than the disk writes; waits for the disk",
    "flow",
    ("running", "blocked, flow"),
    "",
    outrun=True,
)
BLOCKING_FLOW: Final = _open(
    "blocking, flow",
    "waits for the disk while an alarm is on; the next message blocks it",
    "blocking",
    ("blocking", "flow", "blocked, flow"),
    "on",
    outrun=True,
)
BLOCKED_FLOW: Final = _open(
    "blocked, flow",
    "is blocked by an alarm, and waits for the disk",
    "blocked",
    ("blocked", "flow"),
    "blocks",
    outrun=True,
)
CLOSING: Final = State(
    "closing",
    "has sent connection.close",
    ("lingering", "closed"),
    acts_on=("connection.close", "connection.close-ok"),
    counted=True,
    ends_after_ms=CLOSING_TIMEOUT,
)
REFUSED: Final = State(
    "refused",
    "has sent connection.close because the login is refused",
    ("lingering", "closed"),
    acts_on=("connection.close", "connection.close-ok"),
    private=True,
    shown="",
    phase="starting",
    ends_after_ms=SILENT_CLOSE_DELAY_MS,
)
LINGERING: Final = State(
    "lingering",
    "discards input, and gives the client time to read the error",
    ("closed",),
    deaf=True,
    counted=True,
    ends_after_ms=SILENT_CLOSE_DELAY_MS,
)
CLOSED_BY_CLIENT: Final = State(
    "closed by client",
    "has answered connection.close, and waits for the client to close the socket",
    ("lingering", "closed"),
    acts_on=("connection.close", "connection.close-ok"),
    counted=True,
    ends_after_ms=CLOSING_TIMEOUT,
)
CLOSED: Final = State("closed", "writes the rest of its output, then closes the socket", (), deaf=True)

#: All states, in the order in which a connection may go through them.
STATES: Final = (
    CONNECTED,
    HEADER,
    STARTING,
    AUTHENTICATING,
    TUNING,
    OPENING,
    HANDING_OVER,
    AUTHORIZING,
    RUNNING,
    BLOCKING,
    BLOCKED,
    FLOW,
    BLOCKING_FLOW,
    BLOCKED_FLOW,
    CLOSING,
    REFUSED,
    LINGERING,
    CLOSED_BY_CLIENT,
    CLOSED,
)

_OPEN: Final = {(state.alarmed, state.blocked, state.outrun): state for state in STATES if state.open}


def open_state(alarmed: bool, blocked: bool, outrun: bool) -> State:
    """Return the state of an open connection."""
    return _OPEN[alarmed, blocked, outrun]


@final
class Status:
    """The current state of a connection, and whether its frames are handled.

    paused: frames wait until `read_on`, at the end of an event loop iteration. Reasons, none of which is a state:
    output has piled up, methods have taken long, or the connection has left a state that holds frames and the waiting
    frames have to be handled first. suspended: number of methods that are not finished: frames also wait after
    `read_on`.
    stopped: no further frame is to be handled now, because of `paused` or the state. It is a field because it is read
    for every frame.
    """

    def __init__(self) -> None:
        self.state: State = CONNECTED
        self.paused: bool = False
        self.suspended: int = 0
        self.stopped: bool = CONNECTED.deaf

    @property
    def reading(self) -> bool:
        """Return whether the socket is to be read now."""
        return not self.paused

    def enter(self, state: State) -> bool:
        """Enter the state and return True, if the table allows it after the current one."""
        if state.name not in self.state.follows:
            return False
        self.state = state
        self.stopped = self.paused or state.deaf
        return True

    def pause(self) -> None:
        """Handle no further frame, and stop reading, until `read_on`."""
        self.paused = self.stopped = True

    def suspend(self) -> None:
        """Handle no further frame, and stop reading, until `read_on` after as many calls of `resume`."""
        self.suspended += 1
        self.pause()

    def resume(self) -> None:
        """Undo one call of `suspend`."""
        self.suspended -= 1

    def read_on(self) -> bool:
        """Resume reading the socket. Return whether frames that had to wait are to be handled."""
        if self.suspended:
            return False
        waited = self.paused
        self.paused = False
        self.stopped = self.state.deaf
        return waited and not self.stopped

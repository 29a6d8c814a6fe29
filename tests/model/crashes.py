"""The states that a broker may have after a crash."""

from collections.abc import Iterator

from tests.model.model import BATCHES, State


def allowed(history: list[State], synced: int, killed: bool) -> Iterator[tuple[int, State]]:
    """Yield the states that may be found after a crash, each with the last operation in it.

    history[i] is the state after operation i, and everything up to `synced` is safe.

    Operations take effect in order, each as a whole, up to some point. The definitions may be of a later time than the
    messages, as they are synced first; if only the process died, the definitions are the latest ones.
    """
    last = len(history) - 1
    latest = {last: history[last][0]} if killed else {}
    if not killed:
        for i in range(synced, last + 1):
            if i == last or history[i + 1][0] != history[i][0]:
                latest[i] = history[i][0]
    seen: list[State] = []
    for i in range(last, synced - 1, -1):
        for until, specs in latest.items():
            if until >= i:
                numbers = {number for _, number in specs} | {BATCHES}
                state = specs, {number: stored for number, stored in history[i][1].items() if number in numbers}
                if state not in seen:
                    seen.append(state)
                    yield i, state

"""The garbage collector of the program, which runs rarely: reference counting frees messages and modules."""

import gc


def run_rarely() -> None:
    """Make collections rare. Called before the modules of a command are loaded, since they contain no garbage."""
    if hasattr(gc, "set_threshold"):  # not on PyPy, which counts no references
        gc.set_threshold(100_000, 50, 1_000)


def calm() -> None:
    """Exclude all objects of a broker that has started from collections, which would walk over all queued messages.

    Objects of a broker that ended earlier in the same process are collected first. A process that has just started has
    next to none, and searching for them would take as long as loading the broker's modules.
    """
    if not hasattr(gc, "freeze"):  # PyPy
        return
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
        gc.collect()  # objects unknown to the collector kept others alive until the first collection freed them
    gc.freeze()
    run_rarely()

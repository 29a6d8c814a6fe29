"""Conditions that hold in every world and for every workload. A new check is a file and a row here.

RUNNING: checked between two iterations of the event loop; each yields errors of a process. AROUND: checks of one
iteration; each inspects a process before it, and yields errors after it. EACH: checks of all iterations, for work that
is rarely too much; each compares a process with the end of the iteration before, and costs next to nothing where there
is no such work. AT_REST: made in this order at the end of a world, when its workloads are done; each raises
BrokenError.
"""

from tests.simulation.checks import (
    batches,
    bindings,
    caches,
    deadlines,
    definitions_log,
    groups,
    heartbeats,
    held_memory,
    histories,
    journal_files,
    left_over,
    limit_counts,
    lines,
    loop_timer,
    memory,
    module_containers,
    new_client,
    offered,
    pages,
    places,
    ready_counts,
    rest,
    restart,
    stream_blocks,
    stream_files,
    unacked_counts,
    unread_answers,
    unsent,
    unwritten,
    windows,
)
from tests.simulation.checks.batch_shares import BatchShares
from tests.simulation.checks.heads import Heads
from tests.simulation.checks.holding import Holding
from tests.simulation.checks.shares import Shares
from tests.simulation.checks.skips import Skips
from tests.simulation.checks.slice_shares import SliceShares

RUNNING = (
    ready_counts.check,
    unacked_counts.check,
    offered.check,
    deadlines.check,
    unsent.check,
    memory.check,
    held_memory.check,
    unwritten.check,
    batches.check,
    caches.check,
    bindings.check,
    limit_counts.check,
    lines.check,
    places.check,
    groups.check,
    heartbeats.check,
    loop_timer.check,
    stream_blocks.check,
    histories.check,
    pages.check,
    definitions_log.check,
    unread_answers.check,
    windows.check,
)

AROUND = (Shares, Holding)

EACH = (BatchShares, Heads, Skips, SliceShares)

AT_REST = (
    new_client.check,
    rest.check,
    journal_files.check,
    stream_files.check,
    restart.check,
    module_containers.check,
    left_over.check,
)

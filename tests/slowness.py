"""Speed of this machine, for tests with a limit in seconds."""

import json
import statistics
import time

#: Processor time of the work below on two quiet cores of a 2.2 GHz Xeon with Python 3.11, where the limits were set.
REFERENCE_S = 0.00165
ROUNDS = 25

_ROWS = [{"name": f"orders.{number}", "durable": True, "messages": number, "arguments": {}} for number in range(1_000)]


def slowness() -> float:
    """Return how many times as long as on the reference machine a computation takes now; at least 1.

    Machines that are shared differ in speed from hour to hour, although no process waits for a processor.
    """
    took = []
    for _ in range(ROUNDS):
        start = time.process_time()
        names = {row["name"]: len(row) for row in json.loads(json.dumps(_ROWS))}
        total = 0
        for number, name in enumerate(sorted(names)):
            total += number * names[name]
        took.append(time.process_time() - start)
    return max(1.0, statistics.median(took) / REFERENCE_S)

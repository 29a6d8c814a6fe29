"""Effects that users of a broker notice, of RabbitMQ and of this one: a restart, and the management UI.

Each broker is started for it, because a restart kills it and 10,000 queues remain in it. RabbitMQ and amqpbroker only.
"""

from collections.abc import Callable

from tests.bench import page
from tests.bench.brokers import OURS, THEIRS, amqpbroker, rabbitmq
from tests.bench.refreshes import QUEUES, Refreshed, refreshed
from tests.bench.report import MB
from tests.bench.restart import Backlog, Restarted, restarted
from tests.bench.restartable import RESTARTABLE

HEAD = ("", THEIRS, OURS)


def measure_restart(seconds: float) -> str:
    """Measure a restart, which has no fixed duration."""
    del seconds
    found = {}
    for name, start in RESTARTABLE.items():
        with start() as broker:
            found[name] = restarted(broker, Backlog())
    return restart_text(found)


def restart_text(found: dict[str, Restarted]) -> str:
    theirs, ours = found[THEIRS], found[OURS]
    backlog = Backlog()
    figures: list[tuple[str, Callable[[Restarted], str]]] = [
        ("start to the first client logged in", lambda each: f"{each.first_s:.2f} s"),
        ("start to all clients logged in", lambda each: f"{each.all_s:.2f} s"),
        ("start to a message for every consumer", lambda each: f"{each.received_s:.2f} s"),
        ("confirms until 2 s later, p99", lambda each: f"{each.p99_ms:.1f} ms"),
        ("confirms until 2 s later, longest", lambda each: f"{each.longest_ms:.1f} ms"),
        ("CPU of the broker until then", lambda each: f"{each.cpu_s:.2f} s"),
        ("memory of the broker then", lambda each: f"{each.memory_bytes / MB:.0f} MB"),
    ]
    rows = [(name, shown(theirs), shown(ours)) for name, shown in figures]
    return (
        f"**A restart under clients that reconnect.** The broker is killed with {backlog.messages:,} persistent"
        f" messages of an application in {backlog.queues} durable queues. It is started again while"
        f" {backlog.publishers} publishers (confirms, one message at a time) and {backlog.consumers} consumers"
        f" (prefetch 100) try to connect every 50 ms. One run.\n\n{page.table(HEAD, rows)}"
    )


def measure_management(seconds: float) -> str:
    found = {}
    for name, start in ((THEIRS, rabbitmq), (OURS, amqpbroker)):
        with start() as broker:
            found[name] = refreshed(broker, seconds)
    return management_text(found)


def management_text(found: dict[str, dict[str, Refreshed]]) -> str:
    head = ("", *(f"{name}: {what}" for name in (THEIRS, OURS) for what in ("CPU", "messages/s", "p99", "longest")))
    rows = [(kind, *(cell for name in (THEIRS, OURS) for cell in shown(found[name][kind]))) for kind in found[OURS]]
    return (
        f"**The management page is open, with {QUEUES:,} queues.** Each second the page asks for what it shows, or a"
        " monitoring tool asks for all queues (`GET /api/queues`). CPU is that of the broker for one refresh, without a"
        " load. Then the refreshes go on beside a publisher and a consumer that never stop: the messages of these, and"
        f" the round trips of a message of another client. One run.\n\n{page.table(head, rows)}"
    )


def shown(figures: Refreshed) -> tuple[str, ...]:
    cpu = f"{figures.cpu_ms:,.0f} ms" if figures.cpu_ms else ""
    return cpu, f"{figures.rate:,.0f}/s", f"{figures.p99_ms:.1f} ms", f"{figures.longest_ms:.0f} ms"


#: Measurements: each returns its text, given the seconds for each step.
MEASUREMENTS: dict[str, Callable[[float], str]] = {"restart": measure_restart, "management": measure_management}

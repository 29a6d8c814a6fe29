"""A Celery application whose task records each execution in a file. AMQP_URLS: of all brokers, joined by semicolons."""

import os
from pathlib import Path

from celery import Celery


def application(urls: str) -> Celery:
    """Return an application that connects to one of these brokers."""
    made = Celery("failover", broker=urls)
    made.conf.update(
        broker_transport_options={"confirm_publish": True},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_hijack_root_logger=False,
    )
    return made


app = application(os.environ.get("AMQP_URLS", ""))


@app.task
def record(number: int) -> None:
    with Path(os.environ["EXECUTED"]).open("a") as file:
        file.write(f"{number}\n")


@app.task(acks_late=True)
def record_late(number: int) -> None:
    """The same, acknowledged after the execution."""
    record(number)

"""Every program of docs/examples, in Python and in JavaScript: it prints what the page there says."""

import re

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, finish, not_applicable, version
from interop.examples import transcripts
from interop.examples.target import has_delayed_exchange, has_locks

NEED_LOCKS = "docs/examples/hung_worker"
NEED_DELAYED_EXCHANGE = ("docs/examples/delayed/delayed_exchange", "docs/examples/sample_app/")


def main() -> None:
    version("pika")
    has_plugin, is_locking = has_delayed_exchange(), has_locks()
    for transcript in transcripts.read():
        for suffix, programs in (("", transcript), ("-js", transcript.in_javascript())):
            if programs is None:
                continue
            name = f"{re.sub('[^a-z]+', '-', programs.title.lower())}{suffix}"
            if not is_locking and NEED_LOCKS in programs.commands[0]:
                not_applicable(name, "locks are an extension of amqpbroker")
                continue
            if not has_plugin and any(path in programs.commands[0] for path in NEED_DELAYED_EXCHANGE):
                not_applicable(name, "the exchange type x-delayed-message is a plugin")
                continue
            with check(name):
                transcripts.run(programs, {"AMQP_URL": AMQP_URL, "MANAGEMENT_URL": MANAGEMENT_URL})
    finish()


if __name__ == "__main__":
    main()

"""Every program of docs/examples, in Python and in JavaScript: it prints what the page there says."""

import re

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, finish, not_applicable, version
from interop.examples import transcripts
from interop.examples.target import has_delayed_exchange, has_extensions

#: Programs that need extensions of this broker.
NEED_EXTENSIONS = (
    "docs/examples/all_parts/main",
    "docs/examples/celery_eta/",
    "docs/examples/charge_once/",
    "docs/examples/hung_worker/",
    "docs/examples/newer_data/follow",
    "docs/examples/newer_data/park",
    "docs/examples/newer_data/version",
    "docs/examples/ocr_jobs/",
    "docs/examples/retry_backoff/",
)
NEED_DELAYED_EXCHANGE = ("docs/examples/delayed/delayed_exchange", "docs/examples/sample_app/")


def main() -> None:
    version("pika")
    has_plugin = has_delayed_exchange()
    extended = has_extensions()
    for transcript in transcripts.read():
        for suffix, programs in (("", transcript), ("-js", transcript.in_javascript())):
            if programs is None:
                continue
            name = f"{re.sub('[^a-z]+', '-', programs.title.lower())}{suffix}"
            if not has_plugin and any(path in programs.commands[0] for path in NEED_DELAYED_EXCHANGE):
                not_applicable(name, "the exchange type x-delayed-message is a plugin")
                continue
            if not extended and any(path in programs.commands[0] for path in NEED_EXTENSIONS):
                not_applicable(name, "there are no extensions here")
                continue
            with check(name):
                transcripts.run(programs, {"AMQP_URL": AMQP_URL, "MANAGEMENT_URL": MANAGEMENT_URL})
    finish()


if __name__ == "__main__":
    main()

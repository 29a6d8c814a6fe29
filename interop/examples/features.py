"""Every program of docs/features does what the page says, in all languages: a check for each page and language."""

import re

from interop.checks import AMQP_URL, MANAGEMENT_URL, check, finish, not_applicable, version
from interop.examples import snippets
from interop.examples.target import has_delayed_exchange, has_extensions, is_for_testing

#: Features of a program that are not supported by every broker.
DELAY = "x-delayed-message"
TESTING = "testing/"  # the paths of the API for tests

#: Programs with this path advance the broker's clock. Their pages come last, because other programs compare the
#: broker's clock with that of the machine.
ADVANCE = "testing/clock/advance"


def main() -> None:
    version("pika")
    missing = [word for word, there in ((DELAY, has_delayed_exchange()), (TESTING, is_for_testing())) if not there]
    extended = has_extensions()
    for page in sorted(snippets.PAGES, key=lambda page: ADVANCE in page.read_text()):
        if not extended and snippets.EXTENSION in page.read_text():
            not_applicable(page.stem, "there are no extensions here")
            continue
        by_language: dict[str, list[snippets.Snippet]] = {}
        for snippet in snippets.read(page):
            lacks = [word for word in missing if word in snippet.text]
            if lacks:
                name = re.sub("[^a-z]+", "-", f"{snippet.section} {snippet.language}".lower())
                not_applicable(name, f"there is no {lacks[0]} here")
            else:
                by_language.setdefault(snippet.language, []).append(snippet)
        for language, programs in by_language.items():
            with check(f"{page.stem}-{language}"):
                for program in programs:
                    snippets.run(program, AMQP_URL, MANAGEMENT_URL)
    finish()


if __name__ == "__main__":
    main()

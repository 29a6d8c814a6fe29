"""Text that does nothing to a terminal."""

import re

#: What terminals act on, and what text is written the other way round or hidden by (Unicode's format characters).
_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with what could act on a terminal written as an escape, such as \\x1b."""
    return _ACTIVE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)

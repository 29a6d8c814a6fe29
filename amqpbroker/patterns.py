"""Regular expressions written by users: in permissions, policies, the configuration and filters. RabbitMQ uses PCRE."""

import contextlib
import logging
import re
from typing import Any, final

log = logging.getLogger(__name__)

#: Time limit of a search. A search that exceeds it finds nothing, like one beyond PCRE's match limit in RabbitMQ.
_SEARCH_S = 0.02
#: After this number of searches that exceeded the time limit, a pattern is not searched for any more.
_GIVEN_UP_AFTER = 3

#: Limits that keep compilation short: its time doubles with each level of nested repetition.
_LONGEST = 2048
_DEEPEST = 6

#: Patterns that the standard library searches for quickly and with the same meaning: text and character classes, with
#: at most one repetition; after `^` also with a second repetition or a choice of texts. Such a search takes a fifth of
#: the time of one that can be interrupted, and most brokers need no other patterns.
_TEXT = r"(?:[\w/:@ -]|\\[.-])"
_CLASS = r"(?:\.|\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|\\[.-]|[\w.:/@])+-?\])"
_ONCE = rf"(?:{_TEXT}|{_CLASS}(?![*+?{{]))*"
_REPEATED = rf"(?:{_CLASS}[*+]{_ONCE})"
_CHOICE = rf"(?:\((?:\?:)?{_TEXT}*(?:\|{_TEXT}*)*\){_ONCE})"
_PLAIN = re.compile(
    rf"(?:\^?{_ONCE}{_REPEATED}?|\^{_ONCE}{_CHOICE}{_REPEATED}?|\^{_ONCE}{_REPEATED}{{2}})\$?", re.ASCII
)
#: Patterns of text at the start of the string, and `.*` alone. They need not be compiled.
_START = re.compile(rf"(?:\^({_TEXT}*))?(?:\.\*)?", re.ASCII)
#: Syntax that does not mean the same as in PCRE: flags that are not at the start, fuzzy matches such as `a{e<=2}`.
_MISREAD = re.compile(r"(?<!^)\(\?[A-Za-z0-9-]*[a-zA-Z](?<![RP])\)|\{\s*(?:\d+\s*<=?\s*)?\d*[dies]\s*[<=,:+}]")
#: Comments and flags that would hide the nesting depth from `_depth`.
_HIDING = re.compile(r"\(\?(?:#|[A-Za-z0-9]*[xV])")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|[()]", re.DOTALL)


class PatternError(ValueError):
    """An invalid pattern. reason: the mistake. at: its position in characters."""

    def __init__(self, pattern: object, reason: str, at: int = 0) -> None:
        self.reason = reason
        self.at = at
        super().__init__(f"invalid regular expression {pattern!r}: {reason}")


@final
class Pattern:
    """A compiled regular expression.

    Even the worst one blocks the broker for only some 60 ms in total: a long search is interrupted and finds nothing,
    and after three of these the pattern is not searched for any more.
    """

    __slots__ = ("_compiled", "_plain", "_slow", "_start", "text")

    def __init__(self, text: str, ignore_case: bool = False, unicode: bool = False) -> None:
        """Compile `text`. unicode: `\\w` and the like also match letters outside of ASCII. Raises PatternError."""
        self.text = text
        self._slow = 0
        start = None if ignore_case else _START.fullmatch(text)
        self._start: str | None = None if start is None else (start[1] or "").replace("\\", "")
        self._plain = False
        self._compiled: Any = None
        if start is None:
            plain = _plain(text, ignore_case, unicode)
            self._plain = plain is not None
            self._compiled = _compiled(text, ignore_case, unicode) if plain is None else plain

    def found_in(self, text: str) -> bool:
        if self._start is not None:
            return text.startswith(self._start)
        if self._plain:
            return self._compiled.search(text) is not None
        if self._slow >= _GIVEN_UP_AFTER:
            return False
        try:
            return self._compiled.search(text, timeout=_SEARCH_S) is not None
        except (TimeoutError, MemoryError):
            self._slow += 1
            if self._slow == 1:
                log.warning("regular expression %r takes too long: search interrupted, no match", self.text[:255])
            return False


def _plain(text: str, ignore_case: bool, unicode: bool) -> re.Pattern[str] | None:
    if _PLAIN.fullmatch(text):
        with contextlib.suppress(re.error):  # invalid, such as [z-a]: the other library has the better error message
            return re.compile(text, (re.IGNORECASE if ignore_case else 0) | (0 if unicode else re.ASCII))
    return None


def _compiled(text: str, ignore_case: bool, unicode: bool) -> Any:
    if len(text) > _LONGEST:
        raise PatternError(text[:80], "regular expression is too large", _LONGEST)
    if misread := _MISREAD.search(text) or _HIDING.search(text):
        raise PatternError(text, f"{misread[0]} is not supported here", misread.start())
    if _depth(text) > _DEEPEST:
        raise PatternError(text, "parentheses are too deeply nested")
    # Imported late, because the import takes 20 ms of the start, and most brokers do not need it.
    import regex

    flags = regex.VERSION0 | (regex.IGNORECASE if ignore_case else 0) | (regex.UNICODE if unicode else regex.ASCII)
    try:
        return regex.compile(text, flags, cache_pattern=False)
    except regex.error as problem:
        raise PatternError(text, getattr(problem, "msg", str(problem)), getattr(problem, "pos", None) or 0) from None
    except (ValueError, KeyError, IndexError, RecursionError, OverflowError, MemoryError) as problem:
        raise PatternError(text, str(problem)) from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _TOKEN.findall(text):
        if token == "(":  # noqa: S105
            depth += 1
            deepest = max(deepest, depth)
        elif token == ")":  # noqa: S105
            depth -= 1
    return deepest

"""Regular expressions that users write: in permissions, policies, the configuration, filters. RabbitMQ takes PCRE."""

import contextlib
import logging
import re
from typing import Any, final

log = logging.getLogger(__name__)

#: A search that takes longer has found nothing, as one beyond PCRE's match limit in RabbitMQ.
_SEARCH_S = 0.02
#: After so many of them a pattern is found nowhere any more.
_GIVEN_UP_AFTER = 3

#: What keeps the compilation short: its time doubles with each repetition around others.
_LONGEST = 2048
_DEEPEST = 6

#: Patterns that the standard library finds in no time, and that mean the same there: text and characters of a class,
#: with at most one repetition; behind `^` there may be a second one, or a choice of texts. That takes a fifth of the
#: time of a search that may be broken off, and most brokers need nothing else.
_TEXT = r"(?:[\w/:@ -]|\\[.-])"
_CLASS = r"(?:\.|\[\^?(?:[A-Za-z0-9]-[A-Za-z0-9]|\\[.-]|[\w.:/@])+-?\])"
_ONCE = rf"(?:{_TEXT}|{_CLASS}(?![*+?{{]))*"
_REPEATED = rf"(?:{_CLASS}[*+]{_ONCE})"
_CHOICE = rf"(?:\((?:\?:)?{_TEXT}*(?:\|{_TEXT}*)*\){_ONCE})"
_PLAIN = re.compile(
    rf"(?:\^?{_ONCE}{_REPEATED}?|\^{_ONCE}{_CHOICE}{_REPEATED}?|\^{_ONCE}{_REPEATED}{{2}})\$?", re.ASCII
)
#: Patterns of text at the start.
_START = re.compile(rf"\^({_TEXT}*)(?:\.\*)?", re.ASCII)
#: What means something else than in PCRE: flags that are not at the start, fuzzy matches such as `a{e<=2}`.
_MISREAD = re.compile(r"(?<!^)\(\?[A-Za-z0-9-]*[a-zA-Z](?<![RP])\)|\{\s*(?:\d+\s*<=?\s*)?\d*[dies]\s*[<=,:+}]")
#: Comments and flags that would hide from `_depth` how deep a pattern is.
_HIDING = re.compile(r"\(\?(?:#|[A-Za-z0-9]*[xV])")
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|[()]", re.DOTALL)


class PatternError(ValueError):
    """A pattern that is none. reason: what is wrong with it. at: where, counted in characters."""

    def __init__(self, pattern: object, reason: str, at: int = 0) -> None:
        self.reason = reason
        self.at = at
        super().__init__(f"invalid regular expression {pattern!r}: {reason}")


@final
class Pattern:
    """A regular expression, ready to be searched for. However bad it is, it holds up the broker for some 60 ms in all:
    a search that takes long is broken off and has found nothing, and after three of them it is found nowhere."""

    __slots__ = ("_compiled", "_plain", "_slow", "_start", "text")

    def __init__(self, text: str, ignore_case: bool = False, unicode: bool = False) -> None:
        """unicode: whether `\\w` and the like mean other letters than those of ASCII as well. Raises PatternError."""
        self.text = text
        self._slow = 0
        start = None if ignore_case else _START.fullmatch(text)
        self._start: str | None = None if start is None else start[1].replace("\\", "")
        plain = _plain(text, ignore_case, unicode)
        self._plain: bool = plain is not None
        self._compiled: Any = _compiled(text, ignore_case, unicode) if plain is None else plain

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
                log.warning("regular expression %r takes too long: such a search finds nothing", self.text[:255])
            return False


def _plain(text: str, ignore_case: bool, unicode: bool) -> re.Pattern[str] | None:
    if _PLAIN.fullmatch(text):
        with contextlib.suppress(re.error):  # such as [z-a], for which the other library has the better words
            return re.compile(text, (re.IGNORECASE if ignore_case else 0) | (0 if unicode else re.ASCII))
    return None


def _compiled(text: str, ignore_case: bool, unicode: bool) -> Any:
    if len(text) > _LONGEST:
        raise PatternError(text[:80], "regular expression is too large", _LONGEST)
    if misread := _MISREAD.search(text) or _HIDING.search(text):
        raise PatternError(text, f"{misread[0]} is not supported here", misread.start())
    if _depth(text) > _DEEPEST:
        raise PatternError(text, "parentheses are too deeply nested")
    # Takes 20 ms, which a broker that does not need it saves at its start.
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

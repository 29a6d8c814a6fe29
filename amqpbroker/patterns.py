"""Regular expressions that users write: in permissions, policies, the configuration, filters. RabbitMQ takes PCRE."""

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

#: Text with at most one `.*`, which the standard library finds in no time, so that most brokers need nothing else.
_PLAIN = re.compile(r"\^?(?:[\w/:@ -]|\\[.-])*(?:\.\*)?\$?", re.ASCII)
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

    __slots__ = ("_compiled", "_limits", "_slow", "text")

    def __init__(self, text: str, ignore_case: bool = False, unicode: bool = False) -> None:
        """unicode: whether `\\w` and the like mean other letters than those of ASCII as well. Raises PatternError."""
        self.text = text
        self._slow = 0
        self._limits: dict[str, float] = {}
        self._compiled: Any
        if _PLAIN.fullmatch(text):
            self._compiled = re.compile(text, (re.IGNORECASE if ignore_case else 0) | (0 if unicode else re.ASCII))
        else:
            self._compiled = _compiled(text, ignore_case, unicode)
            self._limits = {"timeout": _SEARCH_S}

    def found_in(self, text: str) -> bool:
        if self._slow >= _GIVEN_UP_AFTER:
            return False
        try:
            return self._compiled.search(text, **self._limits) is not None
        except (TimeoutError, MemoryError):
            self._slow += 1
            if self._slow == 1:
                log.warning("regular expression %r takes too long: such a search finds nothing", self.text[:255])
            return False


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

"""Regular expressions that users write: in permissions, policies and the configuration. RabbitMQ takes PCRE."""

import re
import warnings


class PatternError(ValueError):
    """A pattern that is none. reason: what is wrong with it. at: where, counted in characters."""

    def __init__(self, pattern: object, reason: str, at: int = 0) -> None:
        self.reason = reason
        self.at = at
        super().__init__(f"invalid regular expression {pattern!r}: {reason}")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression, ready to search; an empty one is found everywhere. Raises PatternError.

    What PCRE has and Python's re does not (such as [[:alpha:]]) is refused rather than misread.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            return re.compile(pattern, re.ASCII)
    except re.error as problem:
        raise PatternError(pattern, problem.msg, problem.pos or 0) from None
    except (FutureWarning, RecursionError, OverflowError) as problem:
        raise PatternError(pattern, str(problem)) from None

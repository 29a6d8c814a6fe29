"""The policy key `auto-dead-letter-queue`: dead letter queues that the broker creates.

Its value is the form of their names, in which `{queue}` stands for the name of a queue. A policy with the key does not
apply to queues whose names have its form: they are dead letter queues, which need no other, and limits for the queues
that process messages must not drop dead letters.
"""

from collections.abc import Mapping
from typing import Any, Final

from amqpbroker.broker.policies.policy_keys import PolicyKey
from amqpbroker.compat import Compat

KEY: Final = "auto-dead-letter-queue"
_QUEUE: Final = "{queue}"
#: The form for an empty value.
DEFAULT: Final = "{queue}.dlq"
#: Maximum length of the name of a queue in bytes.
MAX_NAME_BYTES: Final = 255


def is_form(value: object) -> bool:
    """Return whether a value of a policy is a form.

    Other braces than those of `{queue}` are probably mistakes. A client cannot name a queue with line breaks, because
    they are removed from the names that it sends.
    """
    if not isinstance(value, str) or len(value.encode()) > MAX_NAME_BYTES or value.startswith("amq."):
        return False
    fixed = value.replace(_QUEUE, "", 1)
    return value != _QUEUE and not any(character in fixed for character in "{}\r\n")


def form_of(definition: Mapping[str, Any], compat: Compat) -> str:
    """Return the form in the definition of a policy, "" if it has none or if extensions are off."""
    form: str | None = definition.get(KEY)
    return "" if form is None or not compat.extensions else form or DEFAULT


def has_form(name: str, form: str) -> bool:
    """Return whether the name of a queue has the form, so that it is a dead letter queue."""
    before, placeholder, after = form.partition(_QUEUE)
    if not placeholder:
        return name == form
    return name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after)


def dead_letter_queue(name: str, form: str) -> str | None:
    """Return the name of the dead letter queue of a queue, None if it is too long, or has line breaks."""
    found = form.replace(_QUEUE, name)
    if "\r" in found or "\n" in found:
        return None
    return found if len(found.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES else None


POLICY_KEY: Final = PolicyKey(
    is_form,
    "form of the name of a dead letter queue. Must be a name in which {queue} may stand once for the name of the "
    f'queue, without other braces or line breaks, or "" for {DEFAULT}',
    of_all=True,
    extension=True,
)

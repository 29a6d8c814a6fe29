"""Names in columns of type text."""

import json


def to_text(value: str) -> str:
    """Encode a name, which may have characters that PostgreSQL cannot store: NUL and surrogates.

    Most names stay as they are.
    """
    return json.dumps(value, ensure_ascii=True)[1:-1] if "\\" in value or not value.isprintable() else value


def from_text(text: str) -> str:
    """Decode what `to_text` has returned."""
    return str(json.loads(f'"{text}"')) if "\\" in text else text

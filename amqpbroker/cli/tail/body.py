"""A body as lines for people: indented JSON, text, or a hexadecimal dump of other bytes."""

import json
import re
from collections.abc import Iterator

from amqpbroker.cli.tail.message import TailMessage

_ROW = 16

#: Control characters, and characters that hide or reverse text (Unicode's format characters).
_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def shown_body(message: TailMessage, max_bytes: int | None) -> Iterator[str]:
    """Return a body as lines. max_bytes: number of bytes of the body, or of characters of JSON; None for all."""
    body = message.body
    kind = str(message.properties.get("content_type", "")).partition(";")[0].strip().lower()
    whole = _laid_out(body) if _is_json(kind, body) else None
    if whole is None:
        body = body[:max_bytes]
        whole = _text(body, cut=len(body) < len(message.body), surely=kind.startswith("text/"))
        if whole is None:
            yield from _dump(body)
        left, unit = message.size - len(body), "B"
    else:
        left, unit = len(whole) - len(whole[:max_bytes]), "characters"
        whole = whole[:max_bytes]
    for line in (whole or "").splitlines():
        yield "\t".join([visible(part) for part in line.split("\t")])
    if left:
        yield f"... {left:,} {unit} more"


def _is_json(kind: str, body: bytes) -> bool:
    """Return whether a body is JSON: by its content type, or without one by its beginning."""
    return kind == "application/json" or kind.endswith("+json") or (not kind and body[:1] in (b"{", b"["))


def _laid_out(body: bytes) -> str | None:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _text(body: bytes, cut: bool, surely: bool) -> str | None:
    """Return the body as text, if it is text. The last character of a truncated body may be missing."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        if not cut or error.start < len(body) - 3:
            return None
        text = body[: error.start].decode()
    controls = sum(character < " " and character not in "\t\n\r\f" for character in text)
    return text if surely or controls * 20 <= len(text) else None


def _dump(body: bytes) -> Iterator[str]:
    """Return a dump as that of `hexdump -C`."""
    for at in range(0, len(body), _ROW):
        row = body[at : at + _ROW]
        characters = "".join([chr(byte) if 32 <= byte < 127 else "." for byte in row])
        yield f"{at:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  |{characters}|"


def visible(text: str) -> str:
    """Return the text with what could act on a terminal written as an escape, such as \\x1b."""
    return _ACTIVE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)

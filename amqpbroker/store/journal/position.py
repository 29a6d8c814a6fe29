"""A position is a segment's number and an offset in it, as one integer."""

from typing import Final

OFFSET_BITS: Final = 32
OFFSET_MASK: Final = 0xFFFFFFFF

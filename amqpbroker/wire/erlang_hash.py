"""Erlang's phash2, by which some exchange types of RabbitMQ select a queue.

phash2 is the same in all releases of Erlang: Bob Jenkins' hash function of 1996, as used in `make_hash2` of the ERTS.
"""

from collections.abc import Iterable

#: Exclusive upper bound of phash2 without a range argument.
PHASH2_RANGE = 1 << 27

_MASK = 0xFFFF_FFFF
#: The golden ratio. Each kind of term has a multiple of it, so that equal bytes of different kinds differ.
_GOLDEN = 0x9E37_79B9
_END_OF_LIST = 2 * _GOLDEN & _MASK
_BINARY = 13 * _GOLDEN & _MASK

#: Hash of the empty list, both alone and as the end of another list.
_EMPTY_LIST = 3_468_870_702
_NIL = 2


def phash2_of_binaries(binaries: Iterable[bytes]) -> int:
    """Return `erlang:phash2([<<...>>, ...])`."""
    state = 0
    for binary in binaries:
        start = (_BINARY + state) & _MASK
        state = _block(binary, start) if binary else start
    if not state:
        return _EMPTY_LIST % PHASH2_RANGE
    return _mixed((_END_OF_LIST + _NIL) & _MASK, _END_OF_LIST, state)[2] % PHASH2_RANGE


def _block(octets: bytes, c: int) -> int:
    a = b = _GOLDEN
    rest = len(octets) % 12
    for at in range(0, len(octets) - rest, 12):
        a += int.from_bytes(octets[at : at + 4], "little")
        b += int.from_bytes(octets[at + 4 : at + 8], "little")
        c += int.from_bytes(octets[at + 8 : at + 12], "little")
        a, b, c = _mixed(a, b, c)
    last = octets[len(octets) - rest :]
    a += int.from_bytes(last[:4], "little")
    b += int.from_bytes(last[4:8], "little")
    # The lowest byte is reserved for the length.
    c += len(octets) + (int.from_bytes(last[8:], "little") << 8)
    return _mixed(a, b, c)[2]


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    a, b, c = a & _MASK, b & _MASK, c & _MASK
    for right, left, last in (13, 8, 13), (12, 16, 5), (3, 10, 15):
        a = (a - b - c & _MASK) ^ c >> right
        b = (b - c - a & _MASK) ^ (a << left & _MASK)
        c = (c - a - b & _MASK) ^ b >> last
    return a, b, c

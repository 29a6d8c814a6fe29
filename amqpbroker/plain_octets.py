"""The functions of `octets` in plain Python, for use without `librt`."""

import struct

_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")


class BytesWriter:
    """A buffer of bytes, returned as one bytes object at the end."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    def append(self, octet: int) -> None:
        self._octets.append(octet)

    def write(self, data: bytes) -> None:
        self._octets += data

    def getvalue(self) -> bytes:
        return bytes(self._octets)

    def truncate(self, size: int) -> None:
        del self._octets[size:]

    def __len__(self) -> int:
        return len(self._octets)


def write_i16_be(writer: BytesWriter, number: int) -> None:
    writer.write(_I16.pack(number))


def write_i32_be(writer: BytesWriter, number: int) -> None:
    writer.write(_I32.pack(number))


def write_i64_be(writer: BytesWriter, number: int) -> None:
    writer.write(_I64.pack(number))


def read_i16_be(data: bytes, at: int) -> int:
    number: int = _I16.unpack_from(data, at)[0]
    return number


def read_i32_be(data: bytes, at: int) -> int:
    number: int = _I32.unpack_from(data, at)[0]
    return number


def read_i64_be(data: bytes, at: int) -> int:
    number: int = _I64.unpack_from(data, at)[0]
    return number

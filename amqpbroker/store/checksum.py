"""Seam to the package zlib-ng: the checksum of everything that is stored, CRC-32 as gzip has it.

That of zlib-ng takes 0.02 ms for a mebibyte, and zlib's 0.25 to 0.6 ms: of a large message's way to the disk more than
anything else. Where there is no zlib-ng, zlib's gives the same.
"""

try:
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]

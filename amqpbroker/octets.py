"""Signed integers in octets, and a buffer to gather octets in: what the C library `librt` does without making objects.

Nothing else imports it, and where it is missing the same names do the same in Python. Compiled code is not built
without it.
"""

try:
    from librt.strings import (
        BytesWriter,
        read_i16_be,
        read_i32_be,
        read_i64_be,
        write_i16_be,
        write_i32_be,
        write_i64_be,
    )
except ImportError:
    from amqpbroker.plain_octets import (  # type: ignore[assignment]
        BytesWriter,
        read_i16_be,
        read_i32_be,
        read_i64_be,
        write_i16_be,
        write_i32_be,
        write_i64_be,
    )

__all__ = ["BytesWriter", "read_i16_be", "read_i32_be", "read_i64_be", "write_i16_be", "write_i32_be", "write_i64_be"]

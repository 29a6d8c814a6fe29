"""Signed integers in bytes, and a byte buffer: as provided by the C library `librt`, without creating objects.

Only this module imports `librt`. If it is missing, the same functions are provided in plain Python. Compiled code is
never built without `librt`.
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

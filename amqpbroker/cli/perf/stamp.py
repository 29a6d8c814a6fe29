"""When a message was published, in its first 16 octets."""

import struct
import time

#: The mark of the run, then the time by the monotonic clock, in ns.
STAMP = struct.Struct(">8sQ")
MARK_BYTES = 8

now_ns = time.monotonic_ns

"""Keys that tell of Erlang's virtual machine. Clients read them, and some cannot do without; here they tell nothing."""

import orjson

#: Of a process.
GARBAGE_COLLECTION = orjson.Fragment(
    orjson.dumps(
        {
            "fullsweep_after": 0,
            "max_heap_size": 0,
            "min_bin_vheap_size": 0,
            "min_heap_size": 0,
            "minor_gcs": 0,
        }
    )
)

#: Of a rate that is 0, or not known.
NO_RATE = orjson.Fragment(b'{"rate":0.0}')

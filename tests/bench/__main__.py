"""`python -m tests.bench` measures the core; see core.py, and scale.py for many connections and queues."""

from tests.bench.core import main

main()

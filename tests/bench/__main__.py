"""`python -m tests.bench` measures the core; see core.py, and scale.py for what can be had many times over."""

from tests.bench.core import main

main()

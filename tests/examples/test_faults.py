"""docs/examples/faults: its tests catch the careless shop, and not the careful one."""

import os
import re
import subprocess
import sys
from pathlib import Path

SHOP = Path(__file__).parent.parent.parent / "docs" / "examples" / "faults"


def run(shop):
    """The names of the tests that failed, and what pytest printed."""
    environment = os.environ | {"SHOP": shop}
    # pytest-asyncio, which a reader need not have, warns of that in any session.
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", *options, "-c", os.devnull, "--rootdir", str(SHOP), str(SHOP)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return set(re.findall(r"^FAILED .*::(\w+)", ran.stdout, re.MULTILINE)), ran.stdout


def test_careful_example_shop_passes_all_fault_tests():
    failed, printed = run("careful")
    assert failed == set(), printed
    assert "10 passed" in printed


def test_careless_example_shop_fails_the_fault_tests():
    failed, printed = run("careless")
    assert failed == {
        "test_no_order_is_lost_when_the_broker_refuses_it",
        "test_no_order_is_booked_twice_when_its_confirm_is_lost",
        "test_no_order_is_booked_twice_when_its_ack_is_lost",
        "test_on_bad_days",
    }
    assert "error" not in printed.splitlines()[-1]
    assert "drop(on='basic.ack', nth=2) at frame" in printed
    assert "random(seed=0, rate=0.05, times=20) " in printed

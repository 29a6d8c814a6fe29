import gc
import subprocess
import sys

import pytest

from tests.process import ENVIRONMENT

FROZEN = """
import gc, weakref
from amqpbroker.server import collector

class Broker: pass

collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
broker = Broker()
broker.vhost = [broker]
left = weakref.ref(broker)
collector.calm()
print(len(collections))
del broker
collector.calm()
print(left())
"""


@pytest.mark.skipif(not hasattr(gc, "freeze"), reason="counts no references")
def test_only_a_process_with_an_earlier_broker_collects_its_garbage():
    done = subprocess.run([sys.executable, "-c", FROZEN], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout == "0\nNone\n"


def test_program_loads_without_collections():
    script = (
        "import gc, sys; from amqpbroker.cli.entry import main\n"
        "count = []; gc.callbacks.append(lambda *_: count.append(0))\n"
        "sys.argv = ['amqpbroker', 'serve', '--help']\n"
        "try: main()\n"
        "finally: print('collections', len(count), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert "collections 0\n" in done.stderr

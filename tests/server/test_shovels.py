import subprocess
import sys


def test_shovel_modules_are_not_imported_before_a_shovel_exists():
    code = "import sys, amqpbroker.server.app; print([name for name in sys.modules if '.shovel.' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

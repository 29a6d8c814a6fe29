import subprocess
import sys


def test_nothing_of_shovels_is_imported_before_there_is_one():
    code = "import sys, amqpbroker.server.app; print([name for name in sys.modules if '.shovel.' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

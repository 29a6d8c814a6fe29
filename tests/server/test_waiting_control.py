"""The control file of a broker that waits, with leaders that a test names."""

import asyncio

from amqpbroker.server import control, waiting_control
from amqpbroker.server.control import token_of
from amqpbroker.server.waiting_control import WaitingControl
from amqpbroker.store.database.leadership import Leader, Target

URL = "http://127.0.0.1:15672"


def leading(secret):
    return Leader("a", "a:5672", "process", Target("a", 1, secret))


class Setting:
    """leader: the present one."""

    def __init__(self, directory):
        self.leader = None
        self.directory = directory
        self.control = WaitingControl(asyncio.get_running_loop(), directory, URL, lambda: self.leader)
        self.control.start()

    async def written(self, found):
        """Wait until the file has this content."""
        async with asyncio.timeout(30):
            while control.read(self.directory) != found:
                await asyncio.sleep(0)


async def test_the_file_has_the_token_of_the_present_leader(tmp_path, monkeypatch):
    monkeypatch.setattr(waiting_control, "CHECK_S", 0.001)
    setting = Setting(tmp_path)
    assert control.read(tmp_path) is None
    for secret in ("first", "second"):
        setting.leader = leading(secret)
        await setting.written((URL, token_of(secret)))
    setting.leader = None
    await asyncio.sleep(0.005)
    assert control.read(tmp_path) == (URL, token_of("second"))
    setting.control.close()
    assert control.read(tmp_path) is None
    # The directory is free again.
    Setting(tmp_path).control.close()


async def test_a_directory_of_another_broker_is_left_alone(tmp_path, caplog):
    first = Setting(tmp_path)
    first.leader = leading("first")
    first.control._check()
    second = Setting(tmp_path)
    second.leader = leading("second")
    assert "amqpbroker ctl does not find this broker while it waits" in caplog.text
    second.control.close()
    assert control.read(tmp_path) == (URL, token_of("first"))
    first.control.close()

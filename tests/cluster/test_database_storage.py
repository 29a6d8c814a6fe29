"""Settings of a server that decide whether its commits wait for a standby."""

from contextlib import closing

import pytest

from amqpbroker.cluster.database_storage import is_synchronous, settings_to_change
from amqpbroker.store.database.session import Session


@pytest.mark.parametrize(
    ("names", "commit", "expected"),
    [
        ("ANY 1 (a)", "on", ""),
        ("a", "remote_apply", ""),
        ("", "on", "synchronous_standby_names"),
        ("a", "local", "synchronous_commit to on (it is local)"),
        ("a", "remote_write", "synchronous_commit to on (it is remote_write)"),
        ("", "off", "synchronous_standby_names and synchronous_commit to on (it is off)"),
    ],
)
def test_the_settings_to_change_are_named(names, commit, expected):
    connection = Server([(names, commit)])
    assert settings_to_change(connection) == expected
    assert is_synchronous(connection) is not bool(expected)


def test_a_server_without_standbys_lacks_their_names(database):
    with closing(Session(database, "tested", 10)) as session:
        assert session.run(settings_to_change) == "synchronous_standby_names"


class Server(list):
    """Answers each statement with the same rows."""

    def execute(self, statement):
        return self

    def fetchone(self):
        return self[0]

import platformdirs

from amqpbroker.server.directories import default_directory


def test_default_directory_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == platformdirs.user_data_path("amqpbroker", appauthor=False)

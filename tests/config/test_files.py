import pytest

from amqpbroker.config import ConfigError
from amqpbroker.config.assignment import Assignment, Kind, Origin
from amqpbroker.config.files import files_of, in_place, read


@pytest.fixture
def warned():
    return []


@pytest.fixture
def put(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(name, text=""):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_configuration_files_in_standard_locations_are_found(put, tmp_path, warned):
    assert in_place({}, warned.append, tmp_path) == []
    second, first = put("conf.d/20-b.conf"), put("conf.d/10-a.conf")
    put("conf.d/notes.txt")
    assert in_place({}, warned.append, tmp_path) == [first, second]
    main = put("rabbitmq.conf")
    assert in_place({}, warned.append, tmp_path) == [main, first, second]
    assert warned == []


@pytest.mark.parametrize("named", ["other", "other.conf"])
def test_file_name_in_environment_may_omit_extension(named, put, tmp_path, warned):
    put("rabbitmq.conf")
    other = put("other.conf")
    assert in_place({"RABBITMQ_CONFIG_FILE": str(tmp_path / named)}, warned.append, tmp_path) == [other]


def test_missing_named_file_causes_a_warning(put, tmp_path, warned):
    put("rabbitmq.conf")
    assert in_place({"RABBITMQ_CONFIG_FILE": "/no/such"}, warned.append, tmp_path) == []
    assert warned == ["RABBITMQ_CONFIG_FILE: the file /no/such does not exist"]


def test_all_files_of_a_directory_in_the_environment_are_read(put, tmp_path, warned):
    files = [put("more/1.conf"), put("more/2.txt")]
    put("more/below/3.conf")
    assert in_place({"RABBITMQ_CONFIG_FILES": str(tmp_path / "more")}, warned.append, tmp_path) == files
    assert in_place({"RABBITMQ_CONFIG_FILES": str(tmp_path / "more/*.conf")}, warned.append, tmp_path) == files[:1]
    assert files_of(str(tmp_path / "more") + "/") == files


def test_environment_file_causes_a_warning(put, tmp_path, warned):
    path = put("rabbitmq-env.conf", "# NODENAME=rabbit\n\n")
    in_place({}, warned.append, tmp_path)
    assert warned == []
    path.write_text("# the node\nNODENAME=rabbit@one\n")
    in_place({}, warned.append, tmp_path)
    assert warned == [f"{path} is not read; set its variables in the environment, with the prefix RABBITMQ_"]


def test_erlang_configuration_is_refused(put, tmp_path, warned):
    put("old.config", "[].")
    with pytest.raises(ConfigError, match=r"old\.config: these are Erlang terms"):
        in_place({"RABBITMQ_CONFIG_FILE": str(tmp_path / "old")}, warned.append, tmp_path)
    advanced = put("advanced.config", "%% nothing yet\n[\n].\n")
    assert in_place({}, warned.append, tmp_path) == []
    advanced.write_text("[{rabbit, [{auth_backends, [ldap]}]}].")
    with pytest.raises(ConfigError, match=r"advanced\.config: advanced\.config is not supported; write"):
        in_place({}, warned.append, tmp_path)
    put("other.config", "[].")
    assert in_place({"RABBITMQ_ADVANCED_CONFIG_FILE": str(tmp_path / "other")}, warned.append, tmp_path) == []


def test_assignments_have_the_origin_file_and_line(put, warned):
    path = put("a.conf", "# comment\nheartbeat = 5\n")
    (assignment,) = read([path], {}, warned.append)
    assert assignment == Assignment("heartbeat", "5", Origin(Kind.FILE, str(path), 2))
    assert str(assignment.origin) == f"{path}:2"


def test_included_files_are_read_at_their_include(put, warned):
    put("conf.d/2.conf", "c = 3\n")
    put("conf.d/1.conf", "b = 2\n")
    path = put("a.conf", "a = 1\ninclude conf.d/*.conf\nd = 4\ninclude none.conf\ninclude none/*.conf\n")
    assert "".join(a.key + a.text for a in read([path], {}, warned.append)) == "a1b2c3d4"
    assert warned == [f"{path}:4: the file none.conf does not exist"]


def test_invalid_include_is_an_error(put, warned):
    path = put("a.conf", "include a.conf\n")
    with pytest.raises(ConfigError, match=r"a\.conf: this file includes itself"):
        read([path], {}, warned.append)
    path.write_text("\ninclude advanced.config\n")
    with pytest.raises(ConfigError, match=r"a\.conf:2: advanced\.config has Erlang terms"):
        read([path], {}, warned.append)


def test_variables_are_replaced(put, warned):
    path = put("a.conf", "cluster_name = a-$(ID)-$(B)\nx = $(heartbeat)\nheartbeat = 7\n")
    found = read([path], {"ID": "1", "B": "$(ID)"}, warned.append)
    assert [a.text for a in found] == ["a-1-$(ID)", "7", "7"]
    with pytest.raises(ConfigError, match=r"a\.conf:1: cluster_name uses \$\(B\), but this variable is not set"):
        read([path], {"ID": "1"}, warned.append)


def test_unreadable_configuration_file_is_an_error(put, tmp_path, warned):
    with pytest.raises(ConfigError, match=r"none\.conf: No such file or directory"):
        read([tmp_path / "none.conf"], {}, warned.append)
    path = put("latin.conf")
    path.write_bytes(b"a = \xff\n")
    with pytest.raises(ConfigError, match=r"latin\.conf: the file is not UTF-8"):
        read([path], {}, warned.append)

"""Users, their passwords, tags and limits."""

import base64
import getpass
import hashlib
import json
import secrets
import sys
from typing import Any

from amqpbroker.cli.ctl.api import Api, quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.parameters import json_word
from amqpbroker.cli.ctl.failure import DATA, NO_USER, SOFTWARE, ApiError, CtlError

GROUP = "Users"


def _password(call: Call, position: int) -> str:
    """Return the word at that position, or a password from stdin, which no list of processes shows."""
    if len(call.words) > position:
        return call.words[position]
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\n")


def known(api: Api, name: str) -> dict[str, Any]:
    """Return the user as the API shows it. Raises CtlError if there is none."""
    try:
        user: dict[str, Any] = api.get(f"users/{quoted(name)}")
    except ApiError as error:
        if error.http_status == 404:
            raise CtlError(f"User {name} does not exist", NO_USER) from error
        raise
    return user


def add_user(call: Call) -> str:
    name = call.words[0]
    try:
        known(call.api, name)
    except CtlError as error:
        if error.status != NO_USER:
            raise
    else:
        raise CtlError(f'User "{name}" already exists', SOFTWARE)
    key = "password_hash" if "pre-hashed-password" in call.options else "password"
    call.api.put(f"users/{quoted(name)}", {key: _password(call, 1), "tags": ""})
    return (
        "Done. Don't forget to grant the user permissions to some virtual hosts!"
        " See 'amqpbroker ctl help set_permissions' to learn more."
    )


def _change(call: Call, **changes: Any) -> None:
    """Change some fields of a user. A PUT replaces the whole user, so the other fields are sent as they are."""
    name = call.words[0]
    user = known(call.api, name)
    kept = {"password_hash": user["password_hash"], "tags": ",".join(user["tags"])}
    if "password" in changes:
        del kept["password_hash"]
    call.api.put(f"users/{quoted(name)}", {**kept, **changes})


def change_password(call: Call) -> None:
    _change(call, password=_password(call, 1))


def clear_password(call: Call) -> None:
    _change(call, password_hash="")


def set_user_tags(call: Call) -> None:
    _change(call, tags=",".join(call.words[1:]))


def delete_user(call: Call) -> None:
    call.api.discard(f"users/{quoted(call.words[0])}")


def list_users(call: Call) -> Rows:
    return Rows(["user", "tags"], [[user["name"], user["tags"]] for user in call.api.get("users")])


def authenticate_user(call: Call) -> str:
    name, password = call.words[0], _password(call, 1)
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    try:
        Api(call.api.url, f"Basic {basic}", call.timeout_s).get("whoami")
    except ApiError as error:
        # Only with the right password does the API say that a user has no tag for the management.
        if error.http_status == 401 and "management" not in str(error):
            text = f"Error: failed to authenticate user \"{name}\"\nuser '{name}' - invalid credentials"
            raise CtlError(f"Error:\n{text}", DATA) from error
    return "Success"


def hash_password(call: Call) -> str:
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + _password(call, 0).encode()).digest()
    return base64.b64encode(salt + digest).decode()


def limits_of(word: str) -> dict[str, Any]:
    """Return a JSON object of limits. Raises CtlError."""
    limits = json_word(word)
    if not isinstance(limits, dict):
        raise CtlError(f"Could not parse JSON document: {word}")
    return limits


def set_user_limits(call: Call) -> None:
    name = call.words[0]
    known(call.api, name)
    for limit, value in limits_of(call.words[1]).items():
        call.api.put(f"user-limits/{quoted(name)}/{quoted(limit)}", {"value": value})


def clear_user_limits(call: Call) -> None:
    name, limit = call.words
    names = ["max-connections", "max-channels"] if limit == "all" else [limit]
    for each in names:
        call.api.discard(f"user-limits/{quoted(name)}/{quoted(each)}")


def list_user_limits(call: Call) -> Any:
    limits = {each["user"]: json.dumps(each["value"]) for each in call.api.get("user-limits")}
    if "user" in call.options:
        return limits.get(call.options["user"], "{}")
    return Rows(["user", "limits"], [list(each) for each in limits.items()])


COMMANDS = (
    Command(
        "add_user",
        GROUP,
        "Creates a user without permissions.",
        "<username> [<password>]",
        add_user,
        lambda call: f'Adding user "{call.words[0]}" ...',
        {"pre-hashed-password": False},
    ),
    Command(
        "authenticate_user",
        GROUP,
        "Checks a user's password.",
        "<username> [<password>]",
        authenticate_user,
        lambda call: f'Authenticating user "{call.words[0]}" ...',
    ),
    Command(
        "change_password",
        GROUP,
        "Changes a user's password.",
        "<username> [<password>]",
        change_password,
        lambda call: f'Changing password for user "{call.words[0]}" ...',
    ),
    Command(
        "clear_password",
        GROUP,
        "Removes a user's password: the user cannot log in with one.",
        "<username>",
        clear_password,
        lambda call: f'Clearing password for user "{call.words[0]}" ...',
    ),
    Command(
        "delete_user",
        GROUP,
        "Deletes a user, if it exists.",
        "<username>",
        delete_user,
        lambda call: f'Deleting user "{call.words[0]}" ...',
    ),
    Command("list_users", GROUP, "Lists users and their tags.", "", list_users, "Listing users ..."),
    Command(
        "set_user_tags",
        GROUP,
        "Sets a user's tags; without tags, removes all of them.",
        "<username> [<tag> ...]",
        set_user_tags,
        lambda call: f'Setting tags for user "{call.words[0]}" to [{", ".join(call.words[1:])}] ...',
    ),
    Command(
        "set_user_limits",
        GROUP,
        'Sets limits, such as {"max-connections": 10, "max-channels": 20}.',
        "<username> <definition>",
        set_user_limits,
        lambda call: f'Setting user limits to "{call.words[1]}" for user "{call.words[0]}" ...',
    ),
    Command(
        "clear_user_limits",
        GROUP,
        "Removes one limit of a user, or `all`.",
        "<username> <limit>",
        clear_user_limits,
        lambda call: f'Clearing "{call.words[1]}" limit for user "{call.words[0]}" ...',
    ),
    Command(
        "list_user_limits",
        GROUP,
        "Lists the limits of all users or of one.",
        "",
        list_user_limits,
        "Listing limits ...",
        {"user": True, "global": False},
    ),
    Command("hash_password", GROUP, "Hashes a password, for definitions.", "[<password>]", hash_password),
)

"""Commands that delete batches and jobs. The messages stay in their queues, and nothing counts them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.commands.groups import QUEUES as GROUP
from amqpbroker.cli.ctl.failure import DATA, CtlError


def delete_batch(call: Call) -> str:
    return _delete(call, "batch", "batches", "")


def delete_job(call: Call) -> str:
    return _delete(call, "job", "jobs", _query(call, call.options.get("user")))


def delete_batches(call: Call) -> str:
    return _delete_all(call, "batches", lambda row: True, lambda row: "")


def delete_jobs(call: Call) -> str:
    return _delete_all(
        call,
        "jobs",
        lambda row: "force" in call.options or "ended_at" in row,
        lambda row: _query(call, row["user"]),
    )


def _query(call: Call, user: str | None) -> str:
    """Return the query of a request about a job. user: whose job it is; None for the user of the request."""
    parameters = {} if user is None else {"user": user}
    if "force" in call.options:
        parameters["force"] = "true"
    return f"?{urlencode(parameters)}" if parameters else ""


def _delete(call: Call, kind: str, kinds: str, parameters: str) -> str:
    id_ = call.words[0]
    if not call.api.discard(f"{kinds}/{quoted(call.vhost)}/{quoted(id_)}{parameters}"):
        raise CtlError(f"Error:\nThere is no {kind} '{id_}' in vhost '{call.vhost}'", DATA)
    return f"The {kind} '{id_}' has been deleted"


def _delete_all(
    call: Call,
    kinds: str,
    is_wanted: Callable[[dict[str, Any]], bool],
    parameters: Callable[[dict[str, Any]], str],
) -> str:
    path = f"{kinds}/{quoted(call.vhost)}"
    user = call.options.get("user")
    found = [row for row in call.api.get(path) if user in (None, row["user"]) and is_wanted(row)]
    count = sum([call.api.discard(f"{path}/{quoted(row['id'])}{parameters(row)}") for row in found])
    return f"Deleted {count} {kinds}"


COMMANDS = (
    Command(
        "delete_batch",
        GROUP,
        "Deletes a batch. Its members stay in their queues, and count no more.",
        "<id>",
        delete_batch,
        lambda call: f"Deleting batch '{call.words[0]}' in vhost '{call.vhost}' ...",
    ),
    Command(
        "delete_batches",
        GROUP,
        "Deletes the batches of a vhost, or those of one user.",
        "",
        delete_batches,
        lambda call: f"Deleting batches in vhost '{call.vhost}' ...",
        {"user": True},
    ),
    Command(
        "delete_job",
        GROUP,
        "Deletes a job that has ended, with its reply, or cancels one that waits; with --force, deletes any job, whose"
        " messages stay in their queues.",
        "<id>",
        delete_job,
        lambda call: f"Deleting job '{call.words[0]}' in vhost '{call.vhost}' ...",
        {"user": True, "force": False},
    ),
    Command(
        "delete_jobs",
        GROUP,
        "Deletes the ended jobs of a vhost, or those of one user; with --force, also jobs that have not ended.",
        "",
        delete_jobs,
        lambda call: f"Deleting jobs in vhost '{call.vhost}' ...",
        {"user": True, "force": False},
    ),
)

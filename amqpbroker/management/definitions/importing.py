"""Taking the steps of a plan: while the broker serves, or before it does."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.errors import AmqpError
from amqpbroker.management.definitions import failure
from amqpbroker.management.definitions.division import divided
from amqpbroker.management.definitions.failure import DefinitionsError
from amqpbroker.management.definitions.left_out import LeftOut
from amqpbroker.management.definitions.plan import IMPORTED_HASH, Plan, parsed
from amqpbroker.row_slices import RowSlices

log = logging.getLogger(__name__)


def _allow() -> None:
    pass


async def imported(
    plan: Plan, rows: int, may_begin: Callable[[], object] = _allow, may_go_on: Callable[[], object] = _allow
) -> None:
    """Import definitions. Raises DefinitionsError: if planning fails, nothing has changed; if a step fails, the earlier
    steps stay.

    rows: maximum number of steps that are planned or taken in one event loop iteration. may_begin(), called before the
    first step, and may_go_on(), called before each further slice, raise an error if the sender is no longer authorised.
    They differ because the steps themselves may change the sender's permissions.
    """
    slices = RowSlices(rows)
    steps = [step async for some in slices.of(plan) for step in some]
    check = may_begin
    async for some in slices.of(steps):
        check()
        for step in some:
            step()
        check = may_go_on


def import_at_start(broker: Broker, paths: Iterable[str], skip_if_unchanged: bool = False) -> None:
    """Import these files, and directories of *.json, in this order; all of it or nothing of it is stored.

    A blank broker gets the vhosts and users of the configuration, too, as far as no file brings any: without a user
    nobody could do anything about that. skip_if_unchanged: import nothing that the start before has imported.
    Raises DefinitionsError, with the name of the file.
    """
    paths = list(paths)
    documents, digest = read_documents(paths)
    if skip_if_unchanged and is_imported(broker, digest):
        return
    try:
        with broker.definitions.transaction():
            _import_all(broker, documents)
            if skip_if_unchanged:
                broker.global_parameters.put(IMPORTED_HASH, digest)
    except AmqpError as error:
        # The disk refuses the definitions. The error names all files, since a transaction is written at its end.
        raise DefinitionsError(f"definitions {', '.join(paths)}: {failure.refused(error)}") from error


def import_first(broker: Broker, paths: Iterable[str]) -> None:
    """Import what a blank broker that shares vhosts writes for all brokers, as `import_at_start` does.

    Leaves out what is in vhosts, which nobody serves yet. Raises DefinitionsError, with the name of the file.
    """
    documents, _ = read_documents(paths)
    with broker.definitions.transaction():
        _import_all(broker, [(path, divided(document, vhost_of(document))[0].document) for path, document in documents])


def read_documents(paths: Iterable[str]) -> tuple[list[tuple[Path, dict[str, Any]]], str]:
    """Return the documents of these files, and directories of *.json, with the files' names, and a hash of all.

    Raises DefinitionsError, with the name of the file.
    """
    texts = [(path, text) for named in paths for path, text in _read(Path(named))]
    digest = hashlib.sha256(b"".join([hashlib.sha256(text).digest() for _, text in texts])).hexdigest()
    return [(path, _named(path, text)) for path, text in texts], digest


def is_imported(broker: Broker, digest: str) -> bool:
    """Return whether the start before has imported the documents with this hash."""
    if broker.global_parameters.value(IMPORTED_HASH, "") != digest:
        return False
    log.info("definitions have not changed since they were imported")
    return True


def vhost_of(document: dict[str, Any]) -> str | None:
    """Return the vhost that a document is for, None if it is for all."""
    vhost = document.get("original_vhost_name")
    single = document.get("rabbitmq_definition_format") == "single_virtual_host"
    return vhost if single and isinstance(vhost, str) else None


def _import_all(broker: Broker, loaded: list[tuple[Path, dict[str, Any]]]) -> None:
    blank = broker.blank
    if blank and not any(document.get("vhosts") for _, document in loaded):
        broker.add_default_vhost()
    if blank and not any(document.get("users") for _, document in loaded):
        broker.add_default_users()
    left_out = LeftOut()
    for path, document in loaded:
        log.info("importing definitions from %s", path)
        _import(broker, path, document, left_out)
    if blank:
        broker.permit_default_users()


def _read(path: Path) -> Sequence[tuple[Path, bytes]]:
    try:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return [(file, file.read_bytes()) for file in files]
    except OSError as error:
        raise DefinitionsError(f"definitions {error.filename}: {error.strerror}") from error


def _named(path: Path, text: bytes) -> dict[str, Any]:
    try:
        return parsed(text)
    except DefinitionsError as error:
        raise DefinitionsError(f"definitions {path}: {error.line}") from error


def _import(broker: Broker, path: Path, document: dict[str, Any], left_out: LeftOut) -> None:
    try:
        for step in list(Plan(broker, document, vhost_of(document), left_out=left_out)):
            step()
    except DefinitionsError as error:
        raise DefinitionsError(f"definitions {path}: {error.line}") from error

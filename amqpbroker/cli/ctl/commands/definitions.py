"""Export and import of definitions."""

import json
import sys
from pathlib import Path

from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.failure import DATA, CtlError
from amqpbroker.cli.json_text import decoded

GROUP = "Definitions"


def export_definitions(call: Call) -> str | None:
    """Write definitions to a file, replaced as a whole, or to stdout for `-`."""
    text = json.dumps(call.api.get("definitions"), indent=2, ensure_ascii=False)
    if not call.words or call.words[0] == "-":
        return text
    path = Path(call.words[0])
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise CtlError(f"cannot write {path}: {error.strerror}", DATA) from error
    return None


def import_definitions(call: Call) -> str:
    name = call.words[0] if call.words else "-"
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CtlError(f"Bad argument: File {name} does not exist", DATA) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CtlError(f"cannot read {name}: {error}", DATA) from error
    try:
        definitions = decoded(text)
    except ValueError as error:
        raise CtlError(f"{name} is not valid JSON: {error}", DATA) from error
    call.api.post("definitions", definitions)
    return "Definitions imported"


COMMANDS = (
    Command(
        "export_definitions",
        GROUP,
        "Writes all definitions as JSON to a file, or to stdout.",
        "[<file>]",
        export_definitions,
        lambda call: (
            ""
            if not call.words or call.words[0] == "-"
            else f'Exporting definitions in JSON to a file at "{call.words[0]}" ...'
        ),
        {"format": True},
    ),
    Command(
        "import_definitions",
        GROUP,
        "Imports definitions from a file, or stdin; the broker's log has skipped ones.",
        "[<file>]",
        import_definitions,
        lambda call: f'Importing definitions in JSON from a file at "{(call.words or ["-"])[0]}" ...',
        {"format": True},
    ),
)

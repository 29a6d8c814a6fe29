"""`python -m tools.ctl_reference` writes docs/reference/ctl.md from the commands in amqpbroker.cli.ctl."""

from pathlib import Path

from amqpbroker.cli.ctl.commands import COMMANDS

PATH = Path(__file__).parent.parent / "docs" / "reference" / "ctl.md"

INTRODUCTION = """\
# amqpbroker ctl

rabbitmqctl's and rabbitmq-diagnostics' commands, for what exists here, with their names, arguments, columns and exit
statuses. They ask the management API of a running broker.

```sh
amqpbroker ctl list_queues name messages consumers
amqpbroker ctl add_user worker secret
amqpbroker ctl set_permissions -p / worker '.*' '.*' '.*'
amqpbroker ctl list_connections --formatter json
```

## Which broker

- `--url http://USER:PASSWORD@HOST:PORT`, or the environment variable `AMQPBROKER_URL`: that one, as that user.
  `--username` and `--password` may stand apart, `--cacertfile` says whose certificates are trusted with `https`.
- `--data-dir DIR`: the one that owns this data directory, as its owner. A running broker leaves a file `control.json`
  there, which only its own user may read; who can read it may do everything, as with RabbitMQ's cookie.
- Without either the one of your own data directory, else the one on port 15672 of this machine, as `guest` or as
  RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS say.

## Options

They may stand anywhere, as with rabbitmqctl.

| Option | |
|---|---|
| `-p`, `--vhost NAME` | The virtual host; `/` unless given. |
| `--formatter NAME` | `table` (tabs), `pretty_table` (the default in a terminal), `json`, `json_stream`, `csv`. |
| `-q`, `--quiet` | Only the results, without the line that says what is being done. |
| `-s`, `--silent` | Without the table's head, too; `--no-table-headers` leaves out just that. |
| `-t`, `--timeout SECONDS` | How long it may take; 60 unless given, or 0. |
| `-n`, `--node`, `-l`, `--longnames`, `--erlang-cookie`, `--dry-run` | Are taken, and mean nothing. |

A table that is far too wide for the terminal is shown a row at a time.

Exit status: 0 if all went well, 64 for a mistake in the command line, 65 for something that is not there, 67 for a user
that is not there, 69 where the broker cannot be reached or refuses, 70 for a user that is there already.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    groups: dict[str, list[str]] = {}
    for command in COMMANDS.values():
        options = " ".join(f"`--{name}`" for name in command.options)
        words = " ".join(part for part in (command.name, command.words) if part)
        groups.setdefault(command.group, []).append(f"| `{words}` | {command.about} | {options} |\n")
    for group, rows in groups.items():
        parts.append(f"\n## {group}\n\n| Command | | Its options |\n|---|---|---|\n" + "".join(rows))
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(page())

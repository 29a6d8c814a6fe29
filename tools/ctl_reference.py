"""`python -m tools.ctl_reference` writes docs/reference/ctl.md from the commands in amqpbroker.cli.ctl."""

from pathlib import Path

from amqpbroker.cli.ctl.commands import COMMANDS

PATH = Path(__file__).parent.parent / "docs" / "reference" / "ctl.md"

INTRODUCTION = """\
# amqpbroker ctl

The commands of rabbitmqctl and rabbitmq-diagnostics for all features that exist here, with the same names, arguments,
columns and exit statuses. They use the management API of a running broker.

```sh
amqpbroker ctl list_queues name messages consumers
amqpbroker ctl add_user worker secret
amqpbroker ctl set_permissions -p / worker '.*' '.*' '.*'
amqpbroker ctl list_connections --formatter json
```

## Choose the broker

- `--url http://USER:PASSWORD@HOST:PORT`, or the environment variable `AMQPBROKER_URL`: the broker at this address, with
  this user. `--username` and `--password` can be given separately; `--cacertfile` names trusted certificates for
  `https`.
- `--data-dir DIR`: the broker that uses this data directory, with the rights of its owner. A running broker writes a
  file `control.json` there, which only its own user can read; as with RabbitMQ's cookie, a user who can read it has all
  rights.
- By default, the broker of your own data directory; if there is none, the broker on port 15672 of this machine, with
  the user `guest` or RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.

## Options

Options can be anywhere in the command line, as with rabbitmqctl.

| Option | Meaning |
|---|---|
| `-p`, `--vhost NAME` | Virtual host; default `/`. |
| `--formatter NAME` | `table` (tabs), `pretty_table` (the default in a terminal), `json`, `json_stream`, `csv`. |
| `-q`, `--quiet` | Print only results, without the line that announces the command. |
| `-s`, `--silent` | Also omit the table's header; `--no-table-headers` omits only the header. |
| `-t`, `--timeout SECONDS` | Time limit; default 60, also for 0. |
| `-n`, `--node`, `-l`, `--longnames`, `--erlang-cookie`, `--dry-run` | Accepted without effect. |

A table that is far too wide for the terminal is shown one row at a time.

Exit status: 0 for success, 64 for an error in the command line, 65 if an object does not exist, 67 if a user does not
exist, 69 if the broker cannot be reached or refuses the command, 70 if a user already exists.
"""


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    groups: dict[str, list[str]] = {}
    for command in COMMANDS.values():
        options = " ".join(f"`--{name}`" for name in command.options)
        words = " ".join(part for part in (command.name, command.words) if part)
        groups.setdefault(command.group, []).append(f"| `{words}` | {command.about} | {options} |\n")
    for group, rows in groups.items():
        parts.append(f"\n## {group}\n\n| Command | Effect | Options |\n|---|---|---|\n" + "".join(rows))
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(page())

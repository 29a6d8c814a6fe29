"""`python -m tools.ctl_reference` writes docs/reference/ctl.md from the commands in amqpbroker.cli.ctl."""

from pathlib import Path

from amqpbroker.cli.ctl.commands import COMMANDS

PATH = Path(__file__).parent.parent / "docs" / "reference" / "ctl.md"

INTRODUCTION = """\
# amqpbroker ctl

Commands of rabbitmqctl and rabbitmq-diagnostics for the features that this broker has, with the same names, arguments,
columns and exit statuses. They use the management API of a running broker.

```sh
amqpbroker ctl list_queues name messages consumers
amqpbroker ctl add_user worker secret
amqpbroker ctl set_permissions -p / worker '.*' '.*' '.*'
amqpbroker ctl list_connections --formatter json
```

## Choose the broker

- `--url http://USER:PASSWORD@HOST:PORT`, or the environment variable `AMQPBROKER_URL`: the broker with this management
  API. `--username` and `--password` may be given separately; `--cacertfile` names the trusted certificates for `https`.
- `--data-dir DIR`: the broker that owns this data directory. A running broker writes a file `control.json` there, which
  only its own user may read. A user who can read it has all permissions, as with RabbitMQ's cookie.
- Without both: the broker of your own data directory, or else the one on port 15672 of this machine, with the user
  `guest` or that of RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.

## Options

Options may be anywhere on the command line, as with rabbitmqctl. Arguments after `--` are no options: `amqpbroker ctl
redrive_group orders -- -1` redrives the group with the key `-1`.

| Option | Meaning |
|---|---|
| `-p`, `--vhost NAME` | Virtual host; default `/`. |
| `--formatter NAME` | `table` (tabs), `pretty_table` (the default on a terminal), `json`, `json_stream` or `csv`. |
| `-q`, `--quiet` | Print only results, without the line that announces the command. |
| `-s`, `--silent` | Print only results, and tables without their head. `--no-table-headers` omits only the head. |
| `-t`, `--timeout SECONDS` | Time limit; default 60, and for 0. |
| `-n`, `--node`, `-l`, `--longnames`, `--erlang-cookie`, `--dry-run` | Accepted and ignored. |

On a terminal, a table that is wider than the terminal has its column heads and texts folded; numbers stay whole. If its
columns do not fit even so, each row is a table of its own. Output to files and pipes is never folded.

`--help` after a command shows its arguments and, for a list, its columns: `amqpbroker ctl list_queues --help`. Your
shell can complete commands and columns, see [Shell completion](command-line.md#shell-completion).

Exit status: 0 if the command succeeded, 64 for a mistake in the command line, 65 if an object does not exist, 67 if a
user does not exist, 69 if the broker cannot be reached or refuses the request, 70 if a user exists already.
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
        parts.append(f"\n## {group}\n\n| Command | Effect | Its options |\n|---|---|---|\n" + "".join(rows))
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(page())

"""`python -m tools.settings_reference` writes docs/reference/settings.md from the table in amqpbroker.config."""

from pathlib import Path

from amqpbroker.config import SETTINGS, Setting

PATH = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

INTRODUCTION = """\
# Settings

Keys, values and defaults are those of RabbitMQ's `rabbitmq.conf`. A `$word` in a key stands for a name of your choice,
in which a dot is written `\\.`. The broker refuses to start on an unknown key or an invalid value; the error gives its
location and the accepted values.

## Sources and precedence

If a key has several values, the last one in this order is used:

1. The environment variables RABBITMQ_NODE_PORT, RABBITMQ_NODE_IP_ADDRESS and RABBITMQ_NODENAME. Files override them, as
   in RabbitMQ.
2. Configuration files: `/etc/rabbitmq/rabbitmq.conf`, then files in `/etc/rabbitmq/conf.d` whose names end in `.conf`,
   sorted by name. RABBITMQ_CONFIG_FILE sets another file, with or without the extension `.conf`, and
   RABBITMQ_CONFIG_FILES another directory or pattern. `--config FILE` reads only that file or directory.
3. All other environment variables in the table.
4. Flags: `--set KEY=VALUE`, then the flag of a single setting, such as `--port`.

## File format

The format is RabbitMQ's: lines of the form `KEY = VALUE`, and comments that begin with `#`.

- Write a value in single quotes if it contains `#`, or begins or ends with a blank. There are no escapes within quotes.
  Double quotes are part of the value.
- `include FILE` includes another file, or several files by a pattern.
- `$(NAME)` in a value is replaced by the environment variable `NAME`, or by the value of the key `NAME`.

The broker refuses to start on Erlang terms (`advanced.config`, `rabbitmq.config`) and encrypted values. Keys and
environment variables of RabbitMQ that have no effect here are ignored, with a warning that states the reason. Variables
that RabbitMQ's container image refuses, such as RABBITMQ_SSL_CERTFILE, are refused. `rabbitmq-env.conf` is not read,
but causes a warning.

## All settings

"""


def page() -> str:
    """Return the page."""
    rows = (_row(setting) for setting in SETTINGS)
    return INTRODUCTION + "| Key | Accepted values | Default | Description |\n|---|---|---|---|\n" + "".join(rows)


def _row(setting: Setting) -> str:
    keys = "<br>".join(f"`{key}`" for key in (setting.key, *setting.aliases))
    default = f"`{setting.default}`" if setting.default else ""
    variables = ", ".join(f"`{variable}`" for variable in setting.environment)
    doc = setting.doc + (f" Environment: {variables}." if variables else "")
    return f"| {keys} | {setting.accepted.text} | {default} | {doc} |\n"


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(page())

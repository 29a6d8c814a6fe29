"""`python -m tools.settings_reference` writes docs/reference/settings.md from the table in amqpbroker.config."""

from pathlib import Path

from amqpbroker.config import SETTINGS, Setting

PATH = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

INTRODUCTION = """\
# Settings

Keys, values and defaults are those of RabbitMQ's `rabbitmq.conf`. A `$word` in a key stands for a name of your choice,
in which a dot is written `\\.`. An unknown key or a value that is not accepted ends the start with a line that says
where it is and what would do.

## Where they come from

Of several values for one key the last one wins, in this order:

1. RABBITMQ_NODE_PORT, RABBITMQ_NODE_IP_ADDRESS and RABBITMQ_NODENAME, which in RabbitMQ too are weaker than files.
2. Files: `/etc/rabbitmq/rabbitmq.conf`, then those of `/etc/rabbitmq/conf.d` whose names end in `.conf`, in the order
   of their names. RABBITMQ_CONFIG_FILE names another file, with or without `.conf`, and RABBITMQ_CONFIG_FILES another
   directory (all of its files) or pattern. `--config FILE` has only that file or directory read.
3. The other environment variables that the table names.
4. Flags: `--set KEY=VALUE`, then the flags of a setting's own, such as `--port`.

The format is RabbitMQ's: `KEY = VALUE` lines, comments behind `#`. A value with a `#` or blanks at its ends stands in
single quotes, which nothing escapes; double quotes are part of the value. `include FILE` takes in another file, or
several by a pattern. `$(NAME)` in a value is the environment variable, or the value of that key.
Erlang terms (`advanced.config`, `rabbitmq.config`) and encrypted values are refused, not ignored. RabbitMQ's keys and
environment variables that mean nothing here are left out, with a warning that says why; those that its container image
refuses, such as RABBITMQ_SSL_CERTFILE, are refused. `rabbitmq-env.conf` is not read, which is warned of, too.

## The table

"""


def page() -> str:
    """The whole page."""
    rows = (_row(setting) for setting in SETTINGS)
    return INTRODUCTION + "| Key | Accepts | Default | |\n|---|---|---|---|\n" + "".join(rows)


def _row(setting: Setting) -> str:
    keys = "<br>".join(f"`{key}`" for key in (setting.key, *setting.aliases))
    default = f"`{setting.default}`" if setting.default else ""
    variables = ", ".join(f"`{variable}`" for variable in setting.environment)
    doc = setting.doc + (f" Environment: {variables}." if variables else "")
    return f"| {keys} | {setting.accepted.text} | {default} | {doc} |\n"


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(page())

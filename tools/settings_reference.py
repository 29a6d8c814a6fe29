"""`python -m tools.settings_reference` writes docs/reference/settings.md from the table in amqpbroker.config."""

from pathlib import Path

from amqpbroker.config import SETTINGS, Setting

PATH = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"

INTRODUCTION = """\
# Settings

Keys, values and defaults are those of RabbitMQ's `rabbitmq.conf`. Set one with `--set KEY=VALUE`, as often as needed;
the last one wins. `--host` and `--port` set the halves of `listeners.tcp.default`, and win over `--set`; a setting
with an environment variable takes that when nothing else sets it. A `$word` in a key stands for a name of your choice.
An unknown key or a value that is not accepted ends the start with a line that says what would do.

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

"""A scenario as Python code: a script that replays it, and a row of `test_failures.py`."""

from dataclasses import fields

from tests.simulation.scenario import Scenario
from tests.simulation.steps import Step

#: Fields that the printed scenario omits if they have their defaults.
USUAL = {field.name: field.default for field in fields(Scenario)}


def literal(given: Scenario, indent: str = "") -> str:
    """Return an expression whose value is the scenario. indent: of all lines except the first."""
    lines = ["Scenario("]
    for field in fields(given):
        value = getattr(given, field.name)
        if field.name == "steps":
            lines.append("    steps=[")
            lines += [f"        {_step(step)}," for step in value]
            lines.append("    ],")
        elif value != USUAL[field.name]:
            lines.append(f"    {field.name}={_quoted(value)},")
    lines.append(")")
    return f"\n{indent}".join(lines)


def script(given: Scenario) -> str:
    """Return a program that runs the scenario."""
    return "\n".join(
        [
            "# Run it with PYTHONHASHSEED=0, or paste the scenario into tests/simulation/test_failures.py.",
            "from tests.simulation.scenario import Scenario, run",
            "from tests.simulation.steps import Step",
            "",
            f"run({literal(given)})",
        ]
    )


def _step(step: Step) -> str:
    values = step if step.arguments else step[:-1]
    return f"Step({', '.join(map(_quoted, values))})"


def _quoted(value: object) -> str:
    """Return the value's repr with the quotes of this project's style."""
    if isinstance(value, str):
        text = repr(value)
        return text if '"' in text else f'"{text[1:-1]}"'
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(key)}: {_quoted(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_quoted, value))}{',' if len(value) == 1 else ''})"
    return repr(value)

"""Install a wheel beside the oldest or the newest of each dependency, and check it: `python -m tools.oldest`.

--newest       the newest versions instead of the lowest that the ranges in pyproject.toml allow
--python NAME  another Python, such as python3.13
--wheel FILE   a wheel that is built already, instead of an interpreted one of the checkout

"Lowest" is the lowest version that has a wheel for the Python and the system. uv chooses the versions and is installed
into the throwaway environment for that. tools/smoke.py does the checks. Exits with 1 if anything fails.
"""

import argparse
import email
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Packages that the checks use; their versions do not matter.
CHECKED_WITH = ("pika>=1.3", "pytest>=8")


#: Files beside the package that a wheel is built from.
BUILT_FROM = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--newest", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--wheel", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amqpbroker-oldest-") as folder:
        directory = Path(folder)
        wheel = options.wheel.resolve() if options.wheel else build(directory)
        python = environment(directory, options.python)
        for command in commands(directory, python, wheel, options.newest):
            run(*command)


def build(directory: Path) -> Path:
    """Return an interpreted wheel, built from a copy so that nothing is left in the checkout."""
    source = directory / "source"
    shutil.copytree(ROOT / "amqpbroker", source / "amqpbroker", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tools", source / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    os.environ["AMQPBROKER_COMPILE"] = "0"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, source)
    (wheel,) = directory.glob("*.whl")
    return wheel


def environment(directory: Path, python: str) -> Path:
    """Make an environment, and return its Python."""
    run(python, "-m", "venv", directory / "venv")
    return directory / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def commands(directory: Path, python: Path, wheel: Path, newest: bool) -> list[tuple[object, ...]]:
    """Return what is run in the environment, in order."""
    chosen = () if newest else ("--resolution", "lowest-direct")
    expected = "interpreted" if wheel.name.endswith("-none-any.whl") else "compiled"
    lock = directory / "requirements.txt"
    asked = directory / "requirements.in"
    # uv chooses the lowest versions of what is asked for by name, so the dependencies are.
    asked.write_text("\n".join([f"amqpbroker @ {wheel.as_uri()}", *dependencies(wheel)]))
    uv = (python, "-m", "uv", "--quiet", "pip")
    return [
        (python, "-m", "pip", "install", "--quiet", "uv"),
        (*uv, "compile", "--only-binary", ":all:", "--python", python, *chosen, "--output-file", lock, asked),
        (*uv, "install", "--only-binary", ":all:", "--python", python, "--requirement", lock, *CHECKED_WITH),
        (python, ROOT / "tools" / "smoke.py", "--expect", expected),
    ]


def dependencies(wheel: Path) -> list[str]:
    """Return the requirements in a wheel's metadata, without those of its extras."""
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [each for each in opened.namelist() if each.endswith(".dist-info/METADATA")]
        required = email.message_from_bytes(opened.read(name)).get_all("Requires-Dist", [])
    return [str(each) for each in required if "extra ==" not in each]


def run(*command: object) -> None:
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    if subprocess.run(words, env=environment, cwd=ROOT, check=False).returncode:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Make the C files that mypyc generates for one group independent of each other.

mypyc writes a C file for each module. All of them include one header with everything that any of them declares, and
refer to literals by their index in one array of the group, so a change of one module changes what the compiler reads
for the others. After `separate`, a file declares only what it uses, and has an array of its own literals, which the
group's main file fills. Then an unchanged module has an unchanged C file, and the compiler reads less for each.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_WORD = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"\bCPyStatics\[(\d+)\]")
_FILLED = re.compile(r"\n( *)if \(CPyStatics_Initialize\(CPyStatics,[^{]*\{\n *return -1;\n *\}\n")
_FUNCTION = re.compile(r"(\w+)\(")
_WITHIN_GUARD = re.compile(r"#ifndef \w+\n#define \w+\n(.*)#endif", re.DOTALL)
_NAME = re.compile(r"(\w+)(?:\[\w*\])?;$")


class UnknownFormError(ValueError):
    """The generated C does not look as this module expects: another version of mypyc."""


@dataclass
class Declaration:
    """A declaration of a header. name: what it declares. words: all identifiers in it."""

    name: str
    text: str
    words: frozenset[str]


def declarations(header: str) -> tuple[list[str], list[Declaration]]:
    """Return a header's lines `#include`, and its declarations, in order. Raises UnknownFormError for anything else."""
    within = _WITHIN_GUARD.fullmatch(header.strip())
    if within is None:
        raise UnknownFormError(f"This header is not within #ifndef and #endif: {header[:80]!r}")
    includes: list[str] = []
    found: list[Declaration] = []
    lines: list[str] = []
    depth = 0
    for line in within[1].splitlines():
        if not lines and (not line or line.startswith("#include")):
            includes += [line] if line else []
            continue
        lines.append(line)
        depth += line.count("{") - line.count("}") + line.startswith("#if") - line.startswith("#endif")
        if depth == 0 and line.endswith((";", "#endif")):
            found.append(_declaration("\n".join(lines)))
            lines = []
    if lines:
        raise UnknownFormError(f"A declaration has no end: {lines[0]!r}")
    return includes, found


def _declaration(text: str) -> Declaration:
    is_function = "{" not in text and "(" in text
    matched = _FUNCTION.search(text) if is_function else _NAME.search(text.removesuffix("\n#endif"))
    if matched is None:
        raise UnknownFormError(f"This is not a declaration: {text!r}")
    return Declaration(matched[1], text, frozenset(_WORD.findall(text)))


def used(source: str, declared: Iterable[Declaration]) -> list[Declaration]:
    """Return the declarations that C source refers to, directly or through others, in their order."""
    declared = list(declared)
    by_name = {each.name: each for each in declared}
    left = by_name.keys() & set(_WORD.findall(source))
    reached = set(left)
    while left:
        words = frozenset().union(*(by_name[name].words for name in left))
        left = (by_name.keys() & words) - reached
        reached |= left
    # Later declarations of a name, such as a structure in both headers, are repetitions.
    return [each for each in by_name.values() if each.name in reached]


def separate(main: Path, headers: list[Path], modules: list[Path]) -> None:
    """Rewrite the C files of a group.

    main: the file with its tables. headers: those of the group, in the order in which one needs the other. modules: all
    other files.

    Raises UnknownFormError, and changes nothing, if the files do not look as expected.
    """
    includes: list[str] = []
    declared: list[Declaration] = []
    own = {f'#include "{each.name}"' for each in headers}
    for header in headers:
        lines, found = declarations(header.read_text())
        includes += [line for line in lines if line not in own and line not in includes]
        declared += found
    rewritten: dict[Path, str] = {}
    arrays: dict[str, list[int]] = {}
    for path in modules:
        text = "\n".join(line for line in path.read_text().splitlines() if line not in own)
        array = f"CPyStatics{path.stem.removeprefix('__native')}"
        rewritten[path], arrays[array] = _standalone(text, array, includes, declared)
    rewritten[main] = _fill(main.read_text(), {name: indexes for name, indexes in arrays.items() if indexes})
    for path, text in rewritten.items():
        path.write_text(text)


def _standalone(text: str, array: str, includes: list[str], declared: list[Declaration]) -> tuple[str, list[int]]:
    """Return the text of a module, and the indexes in the group's array of the literals in its own array."""
    indexes: dict[int, int] = {}
    text = _LITERAL.sub(lambda found: f"{array}[{indexes.setdefault(int(found[1]), len(indexes))}]", text)
    if "CPyStatics[" in text:
        raise UnknownFormError(f"{array}: literals are referred to in another way.")
    own = [f"extern PyObject *{array}[{len(indexes)}];"] if indexes else []
    return "\n".join([*includes, *(each.text for each in used(text, declared)), *own, text, ""]), list(indexes)


def _fill(main: str, arrays: dict[str, list[int]]) -> str:
    """Return the group's main file with the arrays of its modules, which are filled after that of the group."""
    filled = _FILLED.search(main)
    if filled is None or not main.startswith("#include"):
        raise UnknownFormError("The group's file does not fill its array of literals.")
    defined = []
    copied = []
    for name, indexes in arrays.items():
        defined.append(f"PyObject *{name}[{len(indexes)}];")
        defined.append(f"static const int {name}_from[] = {{{', '.join(map(str, indexes))}}};")
        copied.append(f"    for (int i = 0; i < {len(indexes)}; i++) {name}[i] = CPyStatics[{name}_from[i]];")
    head, body = main[: filled.end()], main[filled.end() :]
    first = head.index("int CPyGlobalsInit(void)")
    return "\n".join([head[:first], *defined, "", head[first:], *copied, body])

"""Topic exchanges: which keys a pattern matches (2.5)."""

from __future__ import annotations

from conformance.lab import Lab
from conformance.registry import case, family

KEYS = (
    "",
    ".",
    "..",
    "a",
    "a.",
    ".a",
    "a.b",
    "a..b",
    "a.b.c",
    "a.b.c.d",
    "b",
    "b.a",
    "A",
    "*",
    "#",
    "a.*",
    "a.#",
    "aa",
    "a.bb",
    "x.a.b",
)
PATTERNS = {
    "empty": "",
    "star": "*",
    "hash": "#",
    "dot": ".",
    "a": "a",
    "a_dot": "a.",
    "dot_a": ".a",
    "star_star": "*.*",
    "star_star_star": "*.*.*",
    "hash_hash": "#.#",
    "hash_star": "#.*",
    "star_hash": "*.#",
    "hash_star_hash": "#.*.#",
    "star_hash_star": "*.#.*",
    "a_star": "a.*",
    "a_hash": "a.#",
    "star_a": "*.a",
    "hash_a": "#.a",
    "a_star_c": "a.*.c",
    "a_hash_c": "a.#.c",
    "a_hash_hash_b": "a.#.#.b",
    "hash_b_hash": "#.b.#",
    "a_empty_b": "a..b",
    "part_star": "a*",
    "part_hash": "a#",
    "star_in_word": "a.b*",
    "double_star": "**",
    "double_hash": "##",
    "hash_dot": "#.",
    "star_dot": "*.",
}


@family({name: (pattern,) for name, pattern in PATTERNS.items()})
def pattern(lab: Lab, pattern: str) -> None:
    """One pattern against every kind of key."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), pattern)
    for key in KEYS:
        ch.publish(lab.x(), key, f"key [{key}]")
    ch.sync()


@case()
def unicode_words(lab: Lab) -> None:
    """Words are bytes between dots."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "žluť.*")
    for key in ("žluť.🐇", "žlut.🐇", "žluť"):
        ch.publish(lab.x(), key, key)
    ch.sync()


@case()
def unbind_one_of_several(lab: Lab) -> None:
    """Unbinding one pattern leaves the others."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q())
    for key in ("a.*", "a.#", "*.b"):
        ch.bind(lab.q(), lab.x(), key)
    ch.unbind(lab.q(), lab.x(), "a.#")
    for key in ("a", "a.b", "a.b.c", "c.b"):
        ch.publish(lab.x(), key, key)
    ch.sync()


@case()
def two_queues_overlap(lab: Lab) -> None:
    """Overlapping patterns of two queues."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    for short, keys in {"q1": ("a.#", "#.c"), "q2": ("*.b.*", "a.b.c")}.items():
        ch.queue(lab.q(short))
        for key in keys:
            ch.bind(lab.q(short), lab.x(), key)
    for key in ("a.b.c", "a", "x.b.y", "x.c"):
        ch.publish(lab.x(), key, key)
    ch.sync()


@case()
def many_words(lab: Lab) -> None:
    """A key of a hundred words."""
    ch = lab.channel()
    ch.exchange(lab.x(), "topic")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x(), "#.z")
    ch.publish(lab.x(), ".".join("a" * 100) + ".z", "yes")
    ch.publish(lab.x(), ".".join("a" * 100), "no")
    ch.sync()

"""Bindings by patterns of words, for topic exchanges: `*` matches one word and `#` any number of words."""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from amqpbroker.broker.exchanges.key_index import KeyIndex
from amqpbroker.broker.exchanges.targets import Targets

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target

_ONE: Final = b"*"
MANY: Final = b"#"
_DOT: Final = 0x2E


class _Node:
    """Node of the trie: its children, and the targets of the patterns that end here.

    many: the child for `#`, one: the child for `*`.
    """

    __slots__ = ("children", "many", "one", "targets")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] | None = None
        self.many: _Node | None = None
        self.one: _Node | None = None
        self.targets: Targets | None = None

    def child(self, word: bytes) -> "_Node | None":
        if word == MANY:
            return self.many
        if word == _ONE:
            return self.one
        return None if self.children is None else self.children.get(word)

    def set_child(self, word: bytes, child: "_Node | None") -> None:
        """Add a child, or remove the child of this word if `child` is None."""
        if word == MANY:
            self.many = child
        elif word == _ONE:
            self.one = child
        elif child is not None:
            if self.children is None:
                self.children = {}
            self.children[word] = child
        elif self.children is not None:
            del self.children[word]
            if not self.children:
                self.children = None

    def follows(self) -> bool:
        """Return whether any pattern continues from here."""
        return self.children is not None or self.many is not None or self.one is not None


class TopicIndex(KeyIndex):
    """A trie of the patterns, word by word.

    A look-up visits only the nodes that match the key, regardless of the number of bindings.
    """

    def __init__(self) -> None:
        super().__init__()
        self._root = _Node()
        # Targets that `find` has found so far. In most cases there is one, which needs no list.
        self._first: Targets | None = None
        self._further: list[Targets] | None = None

    def add(self, pattern: bytes, target: "Target") -> None:
        node = self._root
        for word in words_of(pattern):
            child = node.child(word)
            if child is None:
                child = _Node()
                node.set_child(word, child)
            node = child
        if node.targets is None:
            node.targets = Targets()
        node.targets.add(target)
        self.count(target, 1)

    def remove(self, pattern: bytes, target: "Target") -> None:
        """Remove a target of the pattern. Raises KeyError if it is not in the index."""
        node = self._root
        path = []
        for word in words_of(pattern):
            path.append((node, word))
            child = node.child(word)
            if child is None:
                raise KeyError(pattern)
            node = child
        if node.targets is None:
            raise KeyError(pattern)
        node.targets.remove(target)
        self.count(target, -1)
        if not node.targets:
            node.targets = None
        while path and node.targets is None and not node.follows():
            node, word = path.pop()
            node.set_child(word, None)

    def clear(self) -> None:
        self._root = _Node()
        self.exchanges = 0

    def find(self, key: bytes) -> "tuple[Target, ...]":
        self._start()
        end: i64 = len(key)
        self._visit(self._root, key, 0 if end else 1, end, None)
        first, further = self._first, self._further
        if first is None:
            return ()
        self._start()
        if further is None:
            return first.all()
        together: dict[Target, None] = {}
        for target in first.all():
            together[target] = None
        for targets in further:
            for target in targets.all():
                together[target] = None
        return tuple(together)

    def _start(self) -> None:
        self._first = None
        self._further = None

    def _found(self, targets: Targets) -> None:
        if self._first is None:
            self._first = targets
        elif self._further is None:
            self._further = [targets]
        else:
            self._further.append(targets)

    def _visit(self, node: _Node, key: bytes, at: i64, end: i64, followed: dict[_Node, int] | None) -> None:
        """Find the targets that match the words of the key from `at` on; beyond `end`, there are no words left.

        followed: `#` node -> the first word from which it has been followed, once it matters: the work is bounded by
        nodes times words.
        """
        many = node.many
        starts: list[int] | None = None
        if many is not None:
            if followed is None and not many.follows():
                if many.targets is not None:
                    self._found(many.targets)
            else:
                if followed is None:
                    followed = {}
                known: i64 = followed.get(many, int(end) + 2)
                if at < known:
                    followed[many] = int(at)
                    if many.follows():
                        starts = _starts(key, at, known, end)
                    elif known > end + 1 and many.targets is not None:
                        self._found(many.targets)
        if at > end:
            if node.targets is not None:
                self._found(node.targets)
        elif node.children is not None or node.one is not None:
            stop = at
            while stop < end and key[stop] != _DOT:
                stop += 1
            if node.children is not None:
                # Words of a routing key that look like wildcards are ordinary words, and no child has these names.
                exact = node.children.get(key[at:stop])
                if exact is not None:
                    self._visit(exact, key, stop + 1, end, followed)
            if node.one is not None:
                self._visit(node.one, key, stop + 1, end, followed)
        if starts is not None and many is not None:
            for start in reversed(starts):
                self._visit(many, key, start, end, followed)


def _starts(key: bytes, at: i64, known: i64, end: i64) -> list[int]:
    """Return the starts of the words from `at` on, and the position after the last word, if they are before `known`."""
    starts = []
    while at < known:
        starts.append(int(at))
        while at < end and key[at] != _DOT:
            at += 1
        at += 1
        if at > end + 1:
            break
    return starts


def words_of(key: bytes) -> list[bytes]:
    """Split a key into words. The empty key has no words; in other keys, an empty word counts."""
    return key.split(b".") if key else []

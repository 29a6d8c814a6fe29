"""topic: binding keys are patterns of words, where `*` stands for one word and `#` for any number of them."""

from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchange_types.targets import Targets, add, remove
from amqpbroker.broker.message import Message
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.wire.values import Table

_ONE = b"*"
_MANY = b"#"


class TopicType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.3; rabbit_exchange_type_topic.

    A trie of the patterns, word by word. Looking up a key walks only what matches it, however many bindings there are.
    """

    name: ClassVar[str] = "topic"

    def __init__(self) -> None:
        self._root = _Node()

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        found, most = _words(routing_key).count(_MANY), compat.most_topic_hashes
        if 0 < most < found:
            raise errors.too_many_hashes(routing_key.decode("utf-8", "surrogateescape"), found, most)

    def bind(self, binding: Binding) -> None:
        node = self._root
        for word in _words(binding.routing_key):
            child = node.children.get(word)
            if child is None:
                if not node.children:
                    node.children = {}
                child = node.children[word] = _Node()
            node = child
        if not node.targets:
            node.targets = {}
        add(node.targets, binding.destination)

    def unbind(self, binding: Binding) -> None:
        node = self._root
        path = []
        for word in _words(binding.routing_key):
            path.append((node, word))
            node = node.children[word]
        remove(node.targets, binding.destination)
        while path and not node.targets and not node.children:
            node, word = path.pop()
            del node.children[word]

    def close(self) -> None:
        self._root = _Node()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        words = _words(routing_key)
        end = len(words)
        found: list[Target] = []
        # `#` node -> the first word from which on it has been followed: the work is bounded by nodes times words.
        followed: dict[_Node, int] = {}
        pending = [(self._root, 0)]
        while pending:
            node, at = pending.pop()
            children = node.children
            if children:
                many = children.get(_MANY)
                if many is not None:
                    known = followed.get(many, end + 1)
                    if at < known:
                        followed[many] = at
                        if many.children:
                            pending += [(many, start) for start in range(at, known)]
                        elif known > end:
                            found += many.targets
                if at < end:
                    one = children.get(_ONE)
                    if one is not None:
                        pending.append((one, at + 1))
                    word = words[at]
                    if word != _ONE and word != _MANY:
                        exact = children.get(word)
                        if exact is not None:
                            pending.append((exact, at + 1))
            if at == end:
                found += node.targets
        return found


class _Node:
    """What may follow, and the targets of the patterns that end here."""

    __slots__ = ("children", "targets")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = _NO_CHILDREN
        self.targets: Targets = _NO_TARGETS


#: Most nodes have only one or the other: an empty dict is shared until it is needed.
_NO_CHILDREN: dict[bytes, _Node] = {}
_NO_TARGETS: Targets = {}


def _words(key: bytes) -> list[bytes]:
    """The empty key has no words; otherwise even an empty word counts."""
    return key.split(b".") if key else []

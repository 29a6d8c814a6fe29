from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.modulus_hash import ModulusHashType
from tests.broker.routed import Box, Nowhere, bind, names, publishing, routed

#: `erlang:phash2([<<"0">>], 134217728)` of Erlang/OTP 27, and so on up to 11.
HASHES = (
    *(20939704, 99340228, 21102361, 8856950, 19612710, 21097639),
    *(127637441, 122241120, 124216864, 13422628, 121098920, 68919425),
)


def test_hash_exchange_without_bindings_routes_to_no_queue() -> None:
    exchange_type = ModulusHashType()
    assert routed(exchange_type, b"k") == []
    binding = bind(exchange_type, Box("a"))
    assert routed(exchange_type, b"k") == ["a"]
    exchange_type.unbind(binding)
    assert routed(exchange_type, b"k") == []


def test_modulus_hash_exchange_chooses_the_same_queue_as_rabbitmq() -> None:
    exchange_type = ModulusHashType()
    for name in "b", "é", "a", "Z", "aa":
        bind(exchange_type, Box(name), b"any key")
    ordered = ["Z", "a", "aa", "b", "é"]
    for number, hashed in enumerate(HASHES):
        assert routed(exchange_type, b"%d" % number) == [ordered[hashed % 5]]


def test_modulus_hash_sorts_bound_exchanges_before_queues() -> None:
    exchange_type = ModulusHashType()
    bind(exchange_type, Box("a"))
    bind(exchange_type, Exchange("z", Nowhere()))
    for number, hashed in enumerate(HASHES):
        assert routed(exchange_type, b"%d" % number) == [["z", "a"][hashed % 2]]


def test_modulus_hash_counts_each_binding_of_a_queue() -> None:
    exchange_type = ModulusHashType()
    queue = Box("b")
    bindings = [bind(exchange_type, queue, key) for key in (b"1", b"2")]
    bind(exchange_type, Box("a"))
    for number, hashed in enumerate(HASHES):
        assert routed(exchange_type, b"%d" % number) == [["a", "b", "b"][hashed % 3]]
    exchange_type.unbind(bindings[0])
    for number, hashed in enumerate(HASHES):
        assert routed(exchange_type, b"%d" % number) == [["a", "b"][hashed % 2]]


def test_modulus_hash_uses_all_routing_keys_of_a_message_together() -> None:
    """Test the hash: `erlang:phash2([<<"orders.eu">>, <<"cc">>], 134217728)` is 81389840."""
    exchange_type = ModulusHashType()
    assert not exchange_type.per_key
    boxes = [Box(f"{number:03}") for number in range(100)]
    for box in boxes:
        bind(exchange_type, box)
    for message in publishing(b"orders.eu", cc=(b"cc",)), publishing(b"orders.eu", bcc=(b"cc",)):
        assert names(exchange_type.route(message.routing_key, message)) == ["040"]
    assert routed(exchange_type, b"orders.eu") == ["027"]

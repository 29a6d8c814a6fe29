"""Lists and other answers of several brokers, merged."""

import itertools
import json
import random

import pytest

from amqpbroker.cluster.requests import merged_lists
from amqpbroker.management.failure import ApiError
from amqpbroker.management.listing import Listing, encode

ROWS = 3


def show(each):
    return {"vhost": each[0], "name": each[1], "size": each[2], "more": {"x": each[1] * 2}}


def listing(objects, **more):
    return Listing(objects, show, lambda each: each[:2], **more)


def objects(seed):
    generated = random.Random(seed)
    sizes = (None, 0, 1, 2, -3, 1 << 70, 0.5, "a", "\ud800", [1], {"k": 1}, True)
    return [
        (vhost, f"{letter}{number}", generated.choice(sizes))
        for vhost in ("v", "w", "x")
        for letter in "ab"
        for number in range(4)
    ]


async def read(parts):
    return b"".join([part async for part in parts])


async def parts_of(several, query):
    return [
        await merged_lists.parsed_part(await read(merged_lists.part_of(each, query, ROWS)), ROWS) for each in several
    ]


QUERIES = [
    {**sort, **backwards, **page, **columns}
    for sort, backwards, page, columns in itertools.product(
        ({}, {"sort": "name"}, {"sort": "size"}, {"sort": "more.x"}, {"sort": "none"}),
        ({}, {"sort_reverse": "true"}),
        (
            {},
            {"page": "1", "page_size": "3"},
            {"page": "2", "page_size": "5", "name": "A"},
            {"page": "2", "page_size": "12"},
        ),
        ({}, {"columns": "name,more.x"}, {"columns": "none"}),
    )
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
async def test_a_list_of_several_brokers_is_that_of_one(query):
    """By name alone: each vhost is at one broker."""
    found = objects(str(query))
    one = listing(found)
    shared = [listing([each for each in found if each[0] == vhost]) for vhost in ("w", "x", "v")]
    parts = await parts_of(shared[1:], query)
    answer = await read(merged_lists.merged(shared[0], parts, query, ROWS))
    assert json.loads(answer) == json.loads(await read(encode(one, query, ROWS)))


async def test_a_list_without_names_is_in_the_order_of_brokers():
    first, second = (Listing([("v", name, 0)], show, paged=False) for name in "ba")
    answer = json.loads(await read(merged_lists.merged(first, await parts_of([second], {}), {}, ROWS)))
    assert [row["name"] for row in answer] == ["b", "a"]


@pytest.mark.parametrize("query", [{"page": "3", "page_size": "1"}, {"page": "0"}, {"page": "x"}])
async def test_pages_that_do_not_exist_are_refused(query):
    parts = await parts_of([listing([("w", "a", 0)])], {})
    with pytest.raises(ApiError):
        await read(merged_lists.merged(listing([("v", "a", 0)]), parts, query, ROWS))


async def test_a_page_has_objects_of_the_last_broker_only():
    parts = await parts_of([listing([("w", "a", 0)])], {"page": "2", "page_size": "1"})
    answer = json.loads(
        await read(merged_lists.merged(listing([("v", "a", 0)]), parts, {"page": "2", "page_size": "1"}, 1))
    )
    assert ([row["vhost"] for row in answer["items"]], answer["total_count"], answer["page_count"]) == (["w"], 2, 2)


async def test_a_peer_sends_no_more_than_may_be_in_the_page():
    [part] = await parts_of([listing(objects(1))], {"page": "2", "page_size": "3", "sort": "size"})
    assert (part.total, part.filtered, len(part.entries)) == (24, 24, 6)


async def test_an_object_is_shown_by_the_broker_that_has_more_of_it():
    def of(*here):
        found = [("v", "a", 1), ("v", "b", 2), ("v", "c", 3)]
        return listing(found, stands_in=lambda each: each[1] not in here)

    for query in ({}, {"page": "1", "page_size": "2"}):
        parts = await parts_of([of("b"), of()], query)
        assert [len(part.entries) for part in parts] == [1, 0]
        answer = json.loads(await read(merged_lists.merged(of("a"), parts, query, ROWS)))
        rows = answer["items"] if query else answer
        assert [row["name"] for row in rows] == ["a", "b", "c"][: len(rows)]
        assert answer["total_count"] == 3 if query else len(rows) == 3


@pytest.mark.parametrize("lines", [b"", b"x\n", b"[1, 1]\n[0, 1]\n", b'[1, 1]\n["a", 1]\n{}'])
async def test_anything_but_a_part_is_refused(lines):
    with pytest.raises(ValueError):  # noqa: PT011 - of any text
        await merged_lists.parsed_part(lines, ROWS)

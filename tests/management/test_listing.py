import asyncio
import json
import random
import time
import weakref
from itertools import pairwise

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.management.failure import ApiError
from amqpbroker.management.listing import SORTED_PER_ROW, Listing, encode

ROWS = BOUNDS.rows
NAMES = ["b", "a", "d", "c"]


def show(name):
    return {"name": name, "size": {"b": 2, "a": 10, "d": None, "c": 1}[name], "more": {"x": name * 2, "y": 1}}


async def whole(listing, query, rows=ROWS):
    return json.loads(b"".join([part async for part in encode(listing, query, rows)]))


async def listed(query, names=NAMES, paged=True):
    return await whole(Listing(names, show, name=lambda name: name, paged=paged), query)


async def test_list_is_sorted_by_name_by_default():
    assert [row["name"] for row in await listed({})] == ["a", "b", "c", "d"]


async def test_sort_reverse_reverses_the_list():
    assert [row["name"] for row in await listed({"sort_reverse": "true"})] == ["d", "c", "b", "a"]


@pytest.mark.parametrize(("path", "names"), [("size", "dcba"), ("more.x", "abcd"), ("nothing", "abcd")])
async def test_list_is_sorted_by_any_column_with_missing_values_first(path, names):
    assert "".join(row["name"] for row in await listed({"sort": path})) == names


@pytest.mark.parametrize("rows", [1, 2, ROWS])
async def test_rows_of_equal_value_stay_sorted_by_name_also_in_reverse(rows):
    names = [f"{number:04}" for number in range(4 * SORTED_PER_ROW + 1)]

    async def sorted_(**query):
        listing = Listing(names, lambda name: {"name": name, "n": int(name) % 2}, name=lambda name: name)
        return [row["name"] for row in await whole(listing, {"sort": "n", **query}, rows)]

    even, odd = names[::2], names[1::2]
    assert await sorted_() == even + odd
    assert await sorted_(sort_reverse="true") == odd + even


async def test_query_parameter_columns_selects_keys_of_each_row():
    rows = await listed({"columns": "name,more.x"})
    assert rows[0] == {"name": "a", "more": {"x": "aa"}}
    assert (await listed({"columns": "more.x,more.y"}))[0] == {"more": {"x": "aa", "y": 1}}
    assert (await listed({"columns": "nothing,name.x"}))[0] == []


async def test_page_has_its_items_and_counts():
    page = await listed({"page": "2", "page_size": "3"})
    assert [row["name"] for row in page.pop("items")] == ["d"]
    assert page == {
        "filtered_count": 4,
        "item_count": 1,
        "page": 2,
        "page_count": 2,
        "page_size": 3,
        "total_count": 4,
    }


async def test_page_is_cut_after_sorting_by_a_column():
    page = await listed({"page": "1", "page_size": "2", "sort": "size", "sort_reverse": "true"})
    assert [row["name"] for row in page["items"]] == ["a", "b"]


async def test_page_is_filtered_by_name_or_regex():
    page = await listed({"page": "1", "name": "A"})
    assert [row["name"] for row in page["items"]] == ["a"]
    assert (page["filtered_count"], page["total_count"]) == (1, 4)
    page = await listed({"page": "1", "name": "^[ab]$", "use_regex": "true"})
    assert [row["name"] for row in page["items"]] == ["a", "b"]
    assert (await listed({"page": "1", "name": "[ab]"}))["items"] == []


async def test_an_empty_list_has_one_page():
    assert (await listed({"page": "1"}, names=[]))["items"] == []


@pytest.mark.parametrize(
    ("query", "error", "reason"),
    [
        ({"page": ""}, "bad_request", "Pagination parameters are invalid"),
        ({"page": "x"}, "bad_request", "Pagination parameters are invalid"),
        ({"page": "1_0"}, "bad_request", "Pagination parameters are invalid"),
        ({"page": " 1"}, "bad_request", "Pagination parameters are invalid"),
        ({"page": "\u0663"}, "bad_request", "Pagination parameters are invalid"),
        ({"page": "1", "page_size": "1_0"}, "bad_request", "Pagination parameters are invalid"),
        ({"page": "9" * 5000}, "bad_request", "Pagination parameters are invalid"),
        ({"page": "1", "name": "(", "use_regex": "true"}, "bad_request", "Pagination parameters are invalid"),
        (
            {"page": "1", "page_size": "501"},
            "invalid_pagination_parameters",
            "Invalid pagination parameters: page number 1, page size 501",
        ),
        (
            {"page": "9", "page_size": "1"},
            "page_out_of_range",
            "Page out of range, page: 9 page size: 1, len: 4",
        ),
        (
            {"page": "9" * 22, "sort": "messages"},
            "page_out_of_range",
            f"Page out of range, page: {'9' * 22} page size: 100, len: 4",
        ),
    ],
)
async def test_invalid_request_is_refused_with_a_reason(query, error, reason):
    with pytest.raises(ApiError) as refused:
        await listed(query)
    assert (refused.value.status, refused.value.error, refused.value.reason) == (400, error, reason)


@pytest.mark.parametrize("columns", ["", "zzz", ",", "zzz.a"])
async def test_rows_without_any_of_the_columns_are_empty_lists(columns):
    assert await listed({"columns": columns}) == [[], [], [], []]


async def test_list_is_paged_only_if_a_page_is_requested():
    assert len(await listed({"pagination": "true", "name": "a"})) == 4


async def test_list_without_pagination_ignores_pagination_parameters():
    assert len(await listed({"page": "9", "name": "a"}, paged=False)) == 4


@pytest.mark.parametrize("pattern", ["^m(a+)+$", "^m(a|aa)+$"])
async def test_filter_that_never_ends_finds_nothing(pattern):
    names = [f"m{'a' * 200}!{number}" for number in range(100)]
    listing = Listing(names, lambda name: {"name": name}, name=lambda name: name)
    began = time.process_time()
    page = await whole(listing, {"page": "1", "use_regex": "true", "name": pattern})
    assert (page["items"], page["filtered_count"], page["total_count"]) == ([], 0, 100)
    assert time.process_time() - began < 1


async def test_slow_filter_does_not_block_others(monkeypatch):
    monkeypatch.setattr("amqpbroker.management.listing.FILTER_SLICE_S", 0)
    turns = []

    async def other():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    page = await listed({"page": "1", "use_regex": "true", "name": "^[abc]$"})
    others.cancel()
    assert [row["name"] for row in page["items"]] == ["a", "b", "c"]
    assert len(turns) >= 3


class Value(int):
    """A number that counts its comparisons."""

    count = 0

    def __lt__(self, other):
        Value.count += 1
        return int(self) < int(other)

    def __gt__(self, other):
        Value.count += 1
        return int(self) > int(other)


async def most_of_a_turn(listing, query, count):
    """Return a list, and the most that `count()` has grown in one event loop iteration."""
    turns = [count()]

    async def other():
        while True:
            await asyncio.sleep(0)
            turns.append(count())

    others = asyncio.create_task(other())
    found = await whole(listing, query)
    others.cancel()
    turns.append(count())
    return found, max(after - before for before, after in pairwise(turns))


@pytest.mark.parametrize("query", [{}, {"page": "3", "page_size": "10"}])
@pytest.mark.parametrize("reverse", ["true", "false"])
async def test_long_list_is_sorted_in_slices(query, reverse):
    numbers = list(range(20_000))
    random.Random(1).shuffle(numbers)
    listing = Listing(numbers, lambda number: {"n": Value(number)}, ordered=True)
    found, most = await most_of_a_turn(
        listing, {"sort": "n", "sort_reverse": reverse, "columns": "n", **query}, lambda: Value.count
    )
    expected = sorted(numbers, reverse=reverse == "true")
    rows = found["items"] if query else found
    assert [row["n"] for row in rows] == (expected[20:30] if query else expected)
    # About 260,000 for the whole list.
    assert most < 30_000


async def test_objects_that_do_not_belong_to_the_list_are_left_out_in_slices(monkeypatch):
    monkeypatch.setattr("amqpbroker.management.listing.FILTER_SLICE_S", 0)
    asked = []
    listing = Listing(
        range(1000), lambda number: {"n": number}, belongs=lambda number: asked.append(number) or number % 2 == 1
    )
    found, most = await most_of_a_turn(listing, {"page": "1", "page_size": "3"}, lambda: len(asked))
    assert [row["n"] for row in found["items"]] == [1, 3, 5]
    assert (found["total_count"], found["filtered_count"], len(asked)) == (500, 500, 1000)
    assert most <= 2


class Kept(dict):
    """A row that can be weakly referenced, to tell whether it is still kept."""

    __hash__ = object.__hash__


@pytest.mark.parametrize("query", [{}, {"sort": "n"}, {"sort": "n", "columns": "name"}])
async def test_rows_of_a_long_list_are_made_as_they_are_sent_and_not_kept(query):
    made, kept = 0, weakref.WeakSet()

    def show(name):
        nonlocal made
        made += 1
        row = Kept(name=name, n=-int(name))
        kept.add(row)
        return row

    names = [f"{number:04}" for number in range(20 * ROWS)]
    parts = encode(Listing(names, show, name=lambda name: name), query, ROWS)
    assert await anext(parts) == b"["
    await anext(parts)
    await anext(parts)
    assert made == 2 * ROWS + ("sort" in query) * len(names)
    assert len(kept) <= 2 * ROWS
    await parts.aclose()


async def test_rows_of_unnamed_objects_are_made_only_for_the_page():
    made = []
    listing = Listing(range(10 * ROWS), lambda number: made.append(number) or {"n": number})
    page = await whole(listing, {"page": "2", "page_size": "3"})
    assert [row["n"] for row in page["items"]] == made == [3, 4, 5]


@pytest.mark.parametrize(
    ("query", "shown", "rows"),
    [
        ({"sort": "size"}, {"name": "dddd", "size": 4, "length": 4}, 4 + 1),
        ({"sort": "length"}, {"name": "dddd", "size": 4, "length": 4}, 1),
        ({"sort": "length", "columns": "length,size"}, {"length": 4, "size": 4}, 1),
        ({"sort": "length", "columns": "length,more.length"}, {"length": 4}, 1),
        ({"sort": "length", "columns": "length"}, {"length": 4}, 0),
    ],
)
async def test_rows_are_made_only_for_columns_that_require_a_row(query, shown, rows):
    made = []

    def show(name):
        made.append(name)
        return {"name": name, "size": len(name), "length": len(name)}

    listing = Listing(["a", "bb", "ccc", "dddd"], show, name=lambda name: name, value={"length": len}.get)
    page = await whole(listing, {"page": "1", "page_size": "1", "sort_reverse": "true", **query})
    assert (page["items"], len(made)) == ([shown], rows)

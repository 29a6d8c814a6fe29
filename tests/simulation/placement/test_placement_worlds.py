"""Many brokers and vhosts of a simulated database."""

import pytest

from tests.simulation.placement.broker import Costs
from tests.simulation.placement.events import Events
from tests.simulation.placement.phases import HEAD, phases, row, table
from tests.simulation.placement.table import Table
from tests.simulation.placement.world import TwoLeadersError, World


def small(seed=1, with_clients=0.5, **costs):
    return World(200, 10, Costs(**costs), seed, with_clients)


def placed(seed=1, with_clients=0.5, **costs):
    world = small(seed, with_clients, **costs)
    world.place()
    return world


def test_brokers_that_start_together_lead_all_vhosts():
    world = small()
    figures = world.event("all start", lambda: world.start(*world.identities))
    assert world.led()
    assert figures.after == [20] * 10


def test_vhosts_of_a_lost_broker_are_led_again_by_many_others_within_seconds():
    world = placed(lagging=0.0)
    figures = world.event("one dies", lambda: world.lose(world.some(1)[0]))
    assert sum(figures.taken.values()) == 20
    assert len(figures.taken) > 4
    assert 1.0 <= min(figures.without_s) <= max(figures.without_s) < 2.5
    assert max(figures.after) - min(figures.after) <= 1


def test_lease_is_waited_for_if_connections_stay():
    world = placed(lagging=0.0)
    figures = world.event("a machine dies", lambda: world.lose(world.some(1)[0], connections_stay=True))
    assert 10.0 < min(figures.without_s) <= max(figures.without_s) < 15.0


def test_work_of_a_takeover_delays_those_behind_it():
    def longest_s(work_s):
        world = placed(lagging=0.0, work_s=work_s)
        return max(world.event("5 die", lambda: [world.lose(each) for each in world.some(5)]).without_s)

    assert longest_s(0.5) > longest_s(0.02) + 5.0


def test_vhosts_with_clients_do_not_move_to_a_broker_that_joins():
    def moved(with_clients):
        world = placed(with_clients=with_clients)
        return world.event("a new one joins", lambda: world.start("new")).moved

    assert (moved(1.0), moved(0.0)) == (0, 18)


def test_operator_moves_vhosts_with_clients():
    world = placed(with_clients=1.0)
    world.event("a new one joins", lambda: world.start("new"))
    figures = world.event("an operator rebalances", lambda: world.table.rebalance(True))
    assert (figures.before[0], figures.after[0], figures.moved) == (0, 18, 18)
    assert len(figures.moving_s) == 18
    assert max(figures.moving_s) < 6.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("with_clients", [0.0, 0.5])
@pytest.mark.parametrize("costs", [{}, {"lagging": 0.5, "fresh_s": 9.0, "balance_s": 1.0}])
def test_no_vhost_moves_back_after_any_event_even_with_old_views(seed, with_clients, costs):
    figures = list(phases(small(seed, with_clients, **costs), 0))
    assert len(figures) == 12
    for each in figures:
        assert each.back == 0
        # A broker that hangs also continues, which is another event.
        assert each.again == 0 or "hangs" in each.name
        assert with_clients or max(each.after) - min(each.after) <= 1
    assert max(figures[-1].after) - min(figures[-1].after) <= 1


def test_all_brokers_restart_one_after_another():
    *_, figures, _ = phases(small(), 10)
    assert figures.name == "10 restart one after another"
    assert sum(figures.taken.values()) >= 200
    assert sum(figures.after) == 200
    assert max(figures.without_s) < 6.0


def test_the_same_seed_gives_the_same_figures():
    def found(seed):
        return [row(figures) for figures in phases(small(seed), 1)]

    assert found(5) == found(5) != found(6)


def test_table_has_a_row_for_each_event():
    world = placed()
    lines = table([row(world.event("none", lambda: None))]).splitlines()
    assert len(lines) == 3
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert lines[2].startswith("| none | 20/20/20 | 20/20/20 | 0 | 0 | - | - | - | 0 | - | - |")


# --- planted faults ---------------------------------------------------------------------------------------------------


def hang(world):
    return world.event("one hangs", lambda: world.hang(world.some(1)[0], 15.0))


def test_leader_that_hangs_is_found_if_its_epoch_is_not_replaced(monkeypatch):
    hang(placed())
    monkeypatch.setattr(Table, "accepts", lambda table, name, epoch: True)
    with pytest.raises(TwoLeadersError, match="hangs and may write"):
        hang(placed())


def test_two_leaders_are_found_if_locks_do_not_exclude_each_other():
    world = placed()
    first, second = world.some(2)
    world.table._locks.clear()
    with pytest.raises(TwoLeadersError, match="lead tenant-"):
        second.lead(next(iter(first.leading)))


# --- parts ------------------------------------------------------------------------------------------------------------


def test_events_happen_in_the_order_of_their_times():
    events, done = Events(), []
    events.after(2.0, lambda: done.append("b"))
    events.after(1.0, lambda: (done.append("a"), events.after(0.5, lambda: done.append("c"))))
    events.run_until(1.8)
    assert (done, events.now_s) == (["a", "c"], 1.8)
    events.run_until(3.0)
    assert done == ["a", "c", "b"]


def test_lock_ends_with_its_session():
    table = Table(["v"], [], 10.0, None)
    first, second = table.connect("a", 0.0), table.connect("b", 0.0)
    assert table.try_lock(first, "v")
    assert not table.try_lock(second, "v")
    table.disconnect(first)
    assert table.try_lock(second, "v")


def test_epoch_is_raised_only_with_the_lock_and_replaces_the_last_one():
    table = Table(["v"], [], 10.0, None)
    first, second = table.connect("a", 0.0), table.connect("b", 0.0)
    assert table.raise_epoch(first, "v") == 0
    assert table.try_lock(first, "v")
    assert table.raise_epoch(first, "v") == 1
    table.release(first, "v", 1, "b")
    assert table.try_lock(second, "v")
    assert table.raise_epoch(second, "v") == 2
    assert (table.accepts("v", 1), table.accepts("v", 2)) == (False, True)


def test_session_is_ended_by_others_only_after_its_lease():
    table = Table(["v"], [], 10.0, None)
    first = table.connect("a", 0.0)
    table.try_lock(first, "v")
    table.renew(first, 5.0)
    table.terminate_silent("v", 14.0)
    assert table.renew(first, 14.0)
    table.terminate_silent("v", 24.0)
    assert not table.renew(first, 24.0)


def test_view_shows_leaders_whose_lease_has_not_ended():
    table = Table(["v", "w"], ["w"], 10.0, None)
    first = table.connect("a", 0.0)
    table.connect("b", 5.0)
    for name in table.rows:
        table.try_lock(first, name)
        table.raise_epoch(first, name)
    table.release(first, "v", 1, "b")
    view = table.read(9.0)
    assert [(v.leader, v.last_leader, v.successor, v.has_clients) for v in view.vhosts] == [
        ("", "a", "b", False),
        ("a", "", "", True),
    ]
    assert view.order.brokers == ["a", "b"]
    assert table.read(9.5) is view
    later = table.read(11.0)
    assert [vhost.leader for vhost in later.vhosts] == ["", ""]
    assert later.takers == {"b": ["v", "w"]}

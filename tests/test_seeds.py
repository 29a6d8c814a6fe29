"""Seeds of quick tests and of exploring ones, and samples of cases."""

from tests.seeds import sampled, seeds


def test_only_the_first_seeds_are_quick():
    quick, *rest = seeds(4, 1)
    assert quick == 0
    assert [(each.values, each.marks[0].name) for each in rest] == [((number,), "explore") for number in (1, 2, 3)]


def test_all_cases_are_run_without_a_seed(monkeypatch):
    monkeypatch.delenv("SAMPLE_SEED", raising=False)
    assert sampled([1, 2, 3], 1) == [1, 2, 3]


def test_a_seed_chooses_the_sample_and_seeds_together_have_all(monkeypatch):
    found = set()
    for seed in range(50):
        monkeypatch.setenv("SAMPLE_SEED", str(seed))
        assert sampled([1, 2, 3], 1) == sampled([1, 2, 3], 1)
        found.update(sampled([1, 2, 3], 1))
    assert found == {1, 2, 3}

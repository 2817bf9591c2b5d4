"""What Ray Tune is given: every value within its range, the looks of ASHA, the searchers' beginnings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("ray")

from modules.config.reader import read_config
from modules.config.spaces import Space
from modules.jobs.ray_tune import (
    RUNG,
    SCORE,
    Trialling,
    domain,
    drawn_from,
    drawn_text,
    drawn_value,
    grace_of,
    make_scheduler,
    make_searcher,
    most_epochs,
    texts_of,
)
from modules.runs.search import SearchDirectory, Trial
from tests.making import write_config

SPACES = (
    Space("hyper_params", "learning_rate", "loguniform", (1e-4, 1e-2)),
    Space("model", "dropout", "uniform", (0, 0.5)),
    Space("hyper_params", "epochs", "randint", (2, 5)),
    Space("hyper_params", "batch_size", "quniform", (16, 64, 16)),
    Space("model", "drop_path", "quniform", (0, 0.3, 0.1)),
    Space("augmentation", "preset", "choice", texts=("none", "light")),
)


def work(tmp_path: Path, *overrides: str, text: str = "") -> Trialling:
    config, _ = read_config([write_config(tmp_path / "search.ini", text)], list(overrides))
    config = replace(config, search_space=config.search_space or SPACES)
    return Trialling(SearchDirectory(tmp_path), config, (0,), True, 1, 1, 0, True)


def test_draws_stay_within_their_ranges_both_ends_included_and_read_back() -> None:
    draws = np.random.RandomState(0)
    for space in SPACES:
        texts = {drawn_text(space, domain(space).sample(random_state=draws)) for _ in range(400)}
        if space.texts:
            assert texts == set(space.texts)
            continue
        low, high = space.numbers[:2]
        assert all(low <= float(text) <= high for text in texts)
        assert all(drawn_text(space, drawn_value(space, text)) == text for text in texts)
        if space.kind == "randint":
            assert texts == {"2", "3", "4", "5"}
        if space.name == "batch_size":
            assert texts == {"16", "32", "48", "64"}
        if space.name == "drop_path":
            assert texts == {"0", "0.1", "0.2", "0.3"}


@pytest.mark.parametrize("searcher", ["hyperopt", "optuna"])
def test_a_searcher_begins_with_what_is_known_and_goes_on_alike(tmp_path: Path, searcher: str) -> None:
    """An interrupted search of 4 trials, 3 of them begun: the same draws in their order, then others."""
    trialling = work(tmp_path, f"tuning.searcher={searcher}")

    def draw(known: list[Trial], count: int) -> list[dict[str, str]]:
        found: Any = make_searcher(trialling, known)
        found.set_search_properties(SCORE, "max", {space.key: domain(space) for space in SPACES})
        texts = []
        for number in range(count):
            texts.append(texts_of(SPACES, found.suggest(str(number))))
            found.on_trial_complete(str(number), {SCORE: 0.1 * number} if number != 1 else {})
        return texts

    first = draw([], 4)
    known = [Trial(number, overrides) for number, overrides in enumerate(first[:3])]
    again = draw(known, 6)
    assert again[:3] == first[:3] and len({str(sorted(each.items())) for each in again}) == 6


@pytest.mark.parametrize("kind", ["choice", "grid"])
def test_lists_are_gone_through_by_the_grid_and_drawn_from_by_others(tmp_path: Path, kind: str) -> None:
    lists = f"[search_space]\nhyper_params.batch_size = {kind}(8, 16, 32)\naugmentation.preset = choice(none, light)\n"
    gone_through = drawn_from(work(tmp_path, "tuning.searcher=grid", text=lists).config)
    assert gone_through == {
        "hyper_params.batch_size": {"grid_search": ["8", "16", "32"]},
        "augmentation.preset": {"grid_search": ["none", "light"]},
    }
    drawn = drawn_from(work(tmp_path, "tuning.searcher=random", text=lists).config)
    draws = np.random.RandomState(0)
    assert {drawn["hyper_params.batch_size"].sample(random_state=draws) for _ in range(99)} == {"8", "16", "32"}


@pytest.mark.parametrize(
    ("more", "text", "expected"),
    [
        (("hyper_params.epochs=5",), "", 1),
        (("hyper_params.epochs=6",), "", 2),
        (("hyper_params.epochs=8",), "hyper_params.epochs = randint(5, 50)\n", 10),
        (("hyper_params.epochs=9", "hyper_params.warmup_epochs=1"), "", 2),
        (("hyper_params.epochs=9", "hyper_params.warmup_epochs=1.5", "hyper_params.probe_epochs=2"), "", 5),
        (("hyper_params.epochs=9",), "hyper_params.warmup_epochs = uniform(0, 2.5)\n", 4),
        (("hyper_params.epochs=9",), "hyper_params.probe_epochs = choice(0, 3, 1)\n", 4),
        (("hyper_params.epochs=9", "tuning.grace_epochs=7"), "", 7),
    ],
)
def test_no_trial_ends_before_its_score_tells_anything(tmp_path: Path, more: tuple[str, ...], text: str, expected: int) -> None:
    space = f"[search_space]\nhyper_params.learning_rate = uniform(0.1, 0.2)\n{text}"
    assert grace_of(work(tmp_path, *more, text=space).config) == expected


def test_asha_looks_when_the_config_says_and_never_beyond_the_longest_trial(tmp_path: Path) -> None:
    trialling = work(tmp_path, "tuning.grace_epochs=2", "tuning.reduction=2", "hyper_params.epochs=9")
    assert most_epochs(trialling.config) == 5
    scheduler: Any = make_scheduler(trialling.config.tuning, trialling)
    scheduler.set_search_properties(SCORE, "max")
    stopped_at = {}
    for name, level in (("good", 0.9), ("bad", 0.1)):
        trial = cast(Any, SimpleNamespace(trial_id=name))
        scheduler.on_trial_add(None, trial)
        for epoch in range(1, 6):
            if scheduler.on_trial_result(None, trial, {SCORE: level, RUNG: epoch}) == "STOP":
                stopped_at[name] = epoch
                break
    assert stopped_at == {"bad": 2}

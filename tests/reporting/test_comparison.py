"""What is said of runs beside each other is no more than the numbers say, and every dot of the plot can be told by its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import spearmanr

from modules.prediction.ledger import Submission
from modules.prediction.likeness import Pair
from modules.reporting.comparison import Comparison, Contest, Likeness, Standing, own_scores, shares_of, tell_agreement, tell_blend
from modules.reporting.comparison_page import render_comparison
from modules.reporting.page import TEMPLATES, embed_figure
from modules.reporting.plots import LABEL, LABELLED, draw_leaderboard


def contest(cv: Sequence[float | None], public: Sequence[float | None], private: Sequence[float | None] | None = None) -> Contest:
    private = private or [None] * len(cv)
    submissions = tuple(Submission(f"{place}.csv", (), "", *scores) for place, scores in enumerate(zip(cv, public, private, strict=True)))
    return Contest("accuracy", True, "3 classes", "data", (), submissions)


def test_nothing_is_said_of_a_board_without_scores() -> None:
    assert tell_agreement(contest([0.9, 0.8, None], [None, None, 0.8]), "public") == []


def test_of_two_submissions_no_correlation_is_told() -> None:
    lines = tell_agreement(contest([0.8, 0.9, 0.95], [0.7, 0.8, None]), "public")
    assert lines == ["CV against public: 2 submissions with both scores; 3 are wanted before their order says anything."]


def test_of_few_the_correlation_comes_with_what_chance_would_do() -> None:
    lines = tell_agreement(contest([0.8, 0.9, 0.95, 0.96], [None] * 4, [0.7, 0.8, 0.85, 0.86]), "private")
    assert lines == [
        "CV against private: rank correlation (Spearman) 1.00, of 4 submissions.",
        "That is few: 4% of all orders that chance may make of 4 submissions agree as well as this, or better.",
    ]


def test_of_many_it_stands_alone() -> None:
    rng = np.random.default_rng(0)
    cv = rng.normal(0.8, 0.1, 12)
    public = cv + rng.normal(0, 0.05, 12)
    (line,) = tell_agreement(contest(cv.tolist(), public.tolist()), "public")
    assert line == f"CV against public: rank correlation (Spearman) {spearmanr(cv, public).statistic:.2f}, of 12 submissions."


def test_opposite_orders_ask_whether_the_metric_is_the_leaderboards() -> None:
    lines = tell_agreement(contest([0.8, 0.9, 0.95], [0.5, 0.4, 0.3]), "public")
    assert lines[1] == "The two go opposite ways: if less is better on one side only, accuracy is not the leaderboard's metric."


def test_equal_scores_are_no_order() -> None:
    (line,) = tell_agreement(contest([0.8, 0.8, 0.8], [0.5, 0.4, 0.3]), "public")
    assert line == "CV against public: 3 submissions, all with the same score on one side: no order to compare."


def alike(gain: float, apart: frozenset[int] = frozenset()) -> Likeness:
    correlations = np.array([[1.0, 0.9, 0.5], [0.9, 1.0, 0.7], [0.5, 0.7, 1.0]])
    pairs = (Pair(0, 2, 0.5, 0.9 + gain, gain), Pair(0, 1, 0.9, 0.8, -0.1))
    return Likeness(("a", "b", "it's"), correlations, (0.9, 0.85, 0.8), 500, pairs, 3, apart)


def test_a_pair_that_gains_is_named_with_its_scores_its_command_and_its_doubt() -> None:
    assert tell_blend(alike(0.02), "accuracy") == [
        "The best to blend: a with it's: accuracy 0.9200 of their mean, 0.9000 and 0.8000 alone (+0.0200, correlation 0.500).",
        """python inference.py 'inference.run=a,it'"'"'s'""",
        "It is the best of 2 pairs on the 500 rows that chose it: expect a little less elsewhere.",
    ]
    assert tell_blend(alike(0.02, frozenset({2})), "accuracy")[1].endswith(" inference.other_folds=allow")
    assert not tell_blend(alike(0.02, frozenset({1})), "accuracy")[1].endswith("allow")


@pytest.mark.parametrize("gain", [0.0, -0.01])
def test_a_pair_that_gains_nothing_is_not_recommended(gain: float) -> None:
    (line,) = tell_blend(alike(gain), "accuracy")
    assert line.startswith("No two of them gain by a blend. The best are a with it's: ")


def test_the_least_alike_are_the_darkest() -> None:
    shares = shares_of(alike(0.0).correlations)
    assert shares[0, 2] == 1 and shares[0, 1] == 0 and shares[1, 2] == pytest.approx(0.5) and (np.diag(shares) == 0).all()
    assert (shares_of(np.array([[1.0, 0.3], [0.3, 1.0]])) == 0).all()


def test_a_runs_own_scores_are_of_the_submission_with_its_own_cv_and_of_no_blend() -> None:
    rows = (
        Submission("a+b.csv", ("a", "b"), "", 0.95, 0.99, 0.99),
        Submission("a-2.csv", ("a",), "", 0.91, 0.87, 0.86),
        Submission("a.csv", ("a",), "", 0.900001, 0.85, None),
    )
    assert own_scores(rows, "a", "1", 0.9000012) == {"public": 0.85, "private": 0.86}
    assert own_scores(rows, "a", "1", 0.7) == {"public": 0.87, "private": 0.86}
    assert own_scores(rows, "b", "1", 0.7) == {"public": None, "private": None}


@pytest.mark.parametrize("count", [1, 2, 12])
def test_names_of_dots_stand_in_nobodys_way(count: int) -> None:
    rng = np.random.default_rng(5)
    cv = rng.normal(0.8, 0.02, count)
    names = [f"$run_{place}$ & co" for place in range(count)]
    figure = draw_leaderboard(names, cv.tolist(), (cv + rng.normal(0, 0.02, count)).tolist(), "accuracy", "public")
    figure.canvas.draw()
    (axis,) = figure.axes
    assert sorted(text.get_text() for text in axis.texts) == sorted(names)
    boxes = [text.get_window_extent().get_points() / 100 * 72 for text in axis.texts]
    for place, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[place + 1 :]:
            overlap = np.minimum(high, other_high) - np.maximum(low, other_low)
            assert (overlap < LABEL / 3).any()
    assert embed_figure(figure).startswith("data:image/svg+xml;base64,")


def test_both_pages_share_their_look_and_a_figure_is_the_same_bytes_each_time() -> None:
    css = (TEMPLATES / "page.css.jinja").read_text(encoding="utf-8").rstrip()
    run = Standing("a", "resnet18", (32, 48), 0.9, 0.01, 5, 100.0, 1000, "2026-01-02T03:04:05")
    found = Comparison("runs", "ledger.csv", [Contest("accuracy", True, "3 classes", "data", (run,), contest([0.8], [0.7]).submissions)])
    page = render_comparison(found)
    assert css in page and "32x48" in page and page.count("data:image/svg+xml") == 1
    assert '{% include "page.css.jinja" %}' in (TEMPLATES / "report.html.jinja").read_text(encoding="utf-8")
    pictures = [embed_figure(draw_leaderboard(["a"], [0.8], [0.7], "accuracy", "public")) for _ in range(2)]
    assert pictures[0] == pictures[1] and embed_figure(None) == ""


def test_many_submissions_are_all_dots_and_the_first_have_names() -> None:
    scores = np.linspace(0.5, 0.9, 3000).tolist()
    figure = draw_leaderboard([f"{number}.csv" for number in range(3000)], scores, scores, "accuracy", "all")
    (axis,) = figure.axes
    assert len(axis.collections[0].get_offsets()) == 3000 and len(axis.texts) == LABELLED

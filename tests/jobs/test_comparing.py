"""look.py runs, of runs whose folders are written by hand: who stands where, what is left out, and that nothing makes it fail."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from modules.compute.storage import write_json
from modules.config.command_line import read_command
from modules.config.errors import DataError
from modules.data.task import classification
from modules.jobs import alike
from modules.jobs.comparing import compare, gather_runs
from modules.prediction.predictions import Predictions, save_predictions
from modules.reporting.comparison import Comparison
from modules.runs.directory import RunDirectory
from modules.runs.records import EpochRecord, write_history
from modules.runs.search import SearchDirectory, Trial
from tests.scripts.running import run_look

CLASSES = ("cat", "dog", "eel")
ROWS = 90
LABELS = np.random.default_rng(1).integers(0, 3, ROWS)


def predicted(seed: int, rows: int = ROWS, skill: float = 1.5) -> np.ndarray:
    logits = np.eye(3)[LABELS[:rows]] * skill + np.random.default_rng(seed).normal(0, 1, (rows, 3))
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def make_run(
    name: str,
    oof: float | None = 0.8,
    values: np.ndarray | None = None,
    config: Sequence[str] = (),
    labels: np.ndarray = LABELS,
    fold_shift: int = 0,
    classes: tuple[str, ...] = CLASSES,
    **result: Any,
) -> RunDirectory:
    """As training leaves it, of two folds; values: out of fold, of the first rows."""
    run = RunDirectory(Path("runs") / name)
    for number in (0, 1):
        run.fold(number).path.mkdir(parents=True)
        run.fold(number).best.write_bytes(b"0" * 1_500_000)
        write_history(run.fold(number).history, [EpochRecord(number, epoch, 1.0, 1.0, 0.7, 0.7, 0.1, 10, 50.0) for epoch in (1, 2)])
    lines = {"settings": ["data_path = contest"], "model": ["name = resnet18"], **{key: [] for key in ("split", "hyper_params", "data")}}
    for each in config:
        section, _, line = each.partition(".")
        lines[section].append(line)
    run.config.write_text("\n".join(f"[{section}]\n" + "\n".join(part) for section, part in lines.items()))
    task = classification("label", classes)
    write_json(
        run.result,
        {
            "metric": "accuracy", "greater_is_better": True, "folds": [oof, oof], "mean": oof, "std": None if oof is None else 0.01,
            "oof": oof, "coverage": 1.0 if oof is not None else 0.0, "fold_numbers": [0, 1], "best_epochs": [2, 2],
            "classes": list(classes), "task": task.to_dict(), "tta": "none", "debug": False, "run_id": f"id of {name}",
            "ended": "2026-03-04T05:06:07.000000+00:00", **result,
        },
    )  # fmt: skip
    if values is not None:
        ids = np.array([f"row{row:03d}" for row in range(len(values))])
        folds = (np.arange(len(values)) + fold_shift) % 2
        save_predictions(run.oof, Predictions(ids, task, values), labels[: len(values)], folds)
    return run


def look(*overrides: str) -> Comparison:
    command = read_command("look", ["runs", "config.ini", *overrides])
    assert command is not None
    return gather_runs(command.config)


def printed(*overrides: str) -> list[str]:
    command = read_command("look", ["runs", "config.ini", *overrides])
    assert command is not None
    return compare(command)


def page() -> str:
    return Path("runs/runs.html").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _config() -> None:
    Path("config.ini").write_text("[settings]\ndata_path = contest\n")


def write_ledger(*rows: str) -> None:
    Path("submissions").mkdir(exist_ok=True)
    head = "file,run,cv_score,date,public_score,private_score"
    Path("submissions/ledger.csv").write_text("\n".join([head, *rows, ""]))


def test_the_best_run_comes_first_and_those_without_a_place_last() -> None:
    make_run("low", 0.7)
    make_run("try", 0.99, debug=True)
    make_run("refit", None, config=["split.method = none", "split.epochs_from = high"])
    make_run("high", 0.9)
    (contest,) = look().contests
    assert [run.name for run in contest.runs] == ["high", "low", "refit", "try"]
    assert [run.notes for run in contest.runs] == [(), (), ("refit of high",), ("debug",)]
    high = contest.runs[0]
    assert (high.model, high.size, high.score, high.spread, high.folds, high.seconds) == ("resnet18", (32, 32), 0.9, 0.01, 2, 200.0)
    assert high.told_weights == "1.5"


def test_of_a_loss_the_smallest_comes_first_also_where_an_old_run_does_not_say_so() -> None:
    for name, score in (("more", 0.9), ("less", 0.2)):
        run = make_run(name, score, config=["hyper_params.metric = log_loss"], metric="log_loss")
        result = json.loads(run.result.read_text())
        del result["greater_is_better"]
        write_json(run.result, result)
    (contest,) = look().contests
    assert [run.name for run in contest.runs] == ["less", "more"] and contest.order == "best first (less is better)"


@pytest.mark.parametrize(
    "other",
    [
        {"config": ["hyper_params.metric = log_loss"], "metric": "log_loss", "greater_is_better": False},
        {"classes": ("cat", "dog")},
        {"config": ["data.source = csv"]},
    ],
)
def test_runs_of_another_metric_other_classes_or_another_source_are_in_a_table_of_their_own(other: dict[str, Any]) -> None:
    make_run("a", 0.5)
    make_run("b", 0.6)
    make_run("other", 0.9, ended="2027-01-01T00:00:00.000000+00:00", **other)
    tables = [[run.name for run in contest.runs] for contest in look().contests]
    assert sorted(tables) == [["b", "a"], ["other"]]


def test_the_contest_of_the_config_comes_before_one_with_newer_runs() -> None:
    make_run("own", 0.5)
    elsewhere = make_run("elsewhere", 0.6, ended="2027-01-01T00:00:00.000000+00:00")
    elsewhere.config.write_text(elsewhere.config.read_text().replace("contest", "elsewhere"))
    assert [contest.data for contest in look().contests] == ["contest", "elsewhere"]
    assert [contest.data for contest in look("settings.data_path=elsewhere").contests] == ["elsewhere", "contest"]


def test_an_unfinished_run_says_how_far_it_came_and_whether_it_is_at_work() -> None:
    run = make_run("half", config=["hyper_params.epochs = 8", "hyper_params.metric = accuracy"])
    run.result.unlink()
    run.fold(0).predictions.write_text("")
    run.folds.write_text("id,fold\na,0\nb,1\nc,2\nd,-1\n")
    told = "half: 1 of 3 folds done, fold 1 after epoch 2 of 8, accuracy 0.7000 so far"
    assert look().unfinished == [f"{told}; stopped; python train.py --resume half goes on"]
    with run.lock():
        assert look().unfinished == [f"{told}; training now"]


def test_of_chosen_folds_only_those_are_waited_for() -> None:
    run = make_run("chosen", config=["split.train_folds = 0"])
    run.result.unlink()
    run.fold(0).predictions.write_text("")
    assert look().unfinished == ["chosen: 1 of 1 fold done; stopped; python train.py --resume chosen goes on"]


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("result.json", '{"metric": ', r"damaged: runs/bad/result\.json: cannot be read: .*"),
        ("result.json", "{}", r"damaged: runs/bad/result\.json: damaged: it has no metric, folds, .*"),
        ("config.ini", "[model]\nnmae = x\n", r"damaged: runs/bad/config\.ini:2 \[model\] nmae: unknown option.*"),
        ("fold0/history.csv", "fold,epoch\n0,x\n", r"damaged: runs/bad/fold0/history\.csv: damaged: .*"),
    ],
)
def test_a_damaged_run_is_a_line_and_the_others_are_told(file: str, content: str, told: str) -> None:
    make_run("good")
    (make_run("bad").path / file).write_text(content)
    found = look()
    assert [run.name for contest in found.contests for run in contest.runs] == ["good"]
    (line,) = found.damaged
    assert re.fullmatch(told.removeprefix("damaged: ").join(("bad: ", "")), line)
    assert f"  {line}" in printed() and unescape(page()).count(line) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"oof": "high"},
        {"oof": float("nan")},
        {"task": {"kind": "multiclass"}},
        {"fold_numbers": []},
        {"metric": ["accuracy"]},
        {"ended": None},
        {"debug": "no"},
        {"coverage": None},
    ],
)
def test_a_result_of_things_that_are_no_results_is_a_line(change: dict[str, Any]) -> None:
    make_run("bad", **change)
    found = look()
    assert found.contests == [] and len(found.damaged) == 1 and found.damaged[0].startswith("bad: ")


def test_a_result_without_a_config_is_a_line() -> None:
    make_run("bare").config.unlink()
    assert look().damaged == ["bare: it has a result.json, and no config.ini"]


def test_a_search_is_a_line_and_its_trials_are_none_of_the_runs() -> None:
    search = SearchDirectory(Path("runs/heads"))
    search.trials.mkdir(parents=True)
    search.config.write_text("[hyper_params]\nmetric = log_loss\n")
    for number, score in enumerate((0.5, 0.3, 0.4)):
        search.write(Trial(number, {}, "done", score, 2))
        (search.trials / f"{number:04d}").mkdir()
        (search.trials / f"{number:04d}" / "config.ini").write_text("")
    assert look().searches == ["heads: 3 trials: 3 to their end; the best, trial 1: log_loss 0.3000 of 2 folds"]
    search.write(Trial(2, {}, "done", 0.4, 2, confirmed=0.35))
    search.best.write_text("")
    told = "heads: 3 trials: 3 to their end; the best, trial 2: log_loss 0.3500 of all folds; python train.py runs/heads/best.ini"
    assert look().searches == [told]
    (search.trials / "0001.json").write_text("{")
    assert look().searches[0].startswith("heads: runs/heads/trials/0001.json: cannot be read: ")


def test_where_there_is_nothing_it_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"^runs: no run to compare; python train\.py makes one$"):
        look()
    assert run_look("runs") == 2 and not Path("runs").exists()
    make_run("a", 0.8)
    assert run_look("runs", "config.ini") == 0
    assert capsys.readouterr().out.splitlines()[0] == "runs: 1 finished run"


def test_a_submission_is_of_its_runs_contest_and_a_run_shows_the_scores_of_its_own_one() -> None:
    make_run("a", 0.9)
    make_run("b", 0.8)
    make_run("loss", 0.3, config=["hyper_params.metric = log_loss"], metric="log_loss", greater_is_better=False)
    write_ledger(
        "a.csv,a,0.9,,0.85,", "a-2.csv,a,0.91,,0.86,0.84", "a+b.csv,a+b,0.93,,0.99,", "loss.csv,loss,0.3,,0.31,", "x.csv,gone,0.5,,0.4,"
    )
    accuracy, loss = sorted(look().contests, key=lambda contest: contest.metric)
    assert [each.file for each in accuracy.submissions] == ["a+b.csv", "a-2.csv", "a.csv"]
    assert [each.file for each in loss.submissions] == ["loss.csv"] and [each.file for each in look().strays] == ["x.csv"]
    assert [(run.name, run.public, run.private) for run in accuracy.runs] == [("a", 0.85, 0.84), ("b", None, None)]


def test_scores_of_an_earlier_run_of_the_same_name_are_not_this_ones() -> None:
    make_run("a", 0.9)
    write_ledger("a.csv,a,0.9,,0.85,")
    manifest = {"metric": "accuracy", "runs": [{"name": "a", "run_id": "id of a"}]}
    write_json(Path("submissions/a.json"), manifest)
    assert look().contests[0].runs[0].public == 0.85
    manifest["runs"][0]["run_id"] = "another"  # type: ignore[index]
    write_json(Path("submissions/a.json"), manifest)
    assert look().contests[0].runs[0].public is None


def test_a_submission_whose_runs_are_gone_is_of_the_contest_of_its_metric() -> None:
    make_run("a", 0.9)
    write_ledger("x.csv,gone,0.5,,0.4,")
    write_json(Path("submissions/x.json"), {"metric": "accuracy", "runs": [{"name": "gone", "run_id": "1"}]})
    assert [each.file for each in look().contests[0].submissions] == ["x.csv"] and not look().strays


def test_the_pair_to_blend_is_the_one_whose_mean_scores_best() -> None:
    values = {"a": predicted(0), "a-again": predicted(0, skill=1.55), "b": predicted(7)}
    for name, each in values.items():
        make_run(name, accuracy_score(LABELS, each.argmax(axis=1)), each)
    likeness = look().contests[0].likeness
    assert likeness is not None and set(likeness.names) == set(values) and likeness.rows == ROWS
    means = {
        frozenset(pair): accuracy_score(LABELS, ((values[pair[0]] + values[pair[1]]) / 2).argmax(axis=1))
        for pair in (("a", "a-again"), ("a", "b"), ("a-again", "b"))
    }
    assert {frozenset(likeness.names_of(pair)): pair.score for pair in likeness.pairs} == pytest.approx(means)
    assert "b" in likeness.names_of(likeness.pairs[0])
    places = {name: place for place, name in enumerate(likeness.names)}
    centred = [(values[name] - values[name].mean(axis=0)).ravel() for name in ("a", "b")]
    assert likeness.correlations[places["a"], places["b"]] == pytest.approx(np.corrcoef(centred)[0, 1], abs=1e-5)
    first, second = likeness.names_of(likeness.pairs[0])
    assert f"python inference.py inference.run={first},{second}" in printed()


def test_rows_may_be_in_another_order_and_runs_of_other_rows_or_labels_are_left_out_with_the_cause() -> None:
    for number, name in enumerate("abc"):
        run = make_run(name, 0.8, predicted(number))
    head, *lines = run.oof.read_text().splitlines(keepends=True)
    run.oof.write_text("".join([head, *lines[::-1]]))
    make_run("part", 0.9, predicted(3, rows=45))
    make_run("relabelled", 0.7, predicted(4), labels=(LABELS + 1) % 3)
    make_run("without", 0.6)
    make_run("broken", 0.5, np.full((ROWS, 3), 0.9, dtype=np.float32))
    (contest,) = look().contests
    assert contest.likeness is not None and contest.likeness.names == ("a", "b", "c")
    assert contest.likeness.correlations[0, 2] == pytest.approx(
        np.corrcoef([(predicted(seed) - predicted(seed).mean(axis=0)).ravel() for seed in (0, 2)])[0, 1], abs=1e-5
    )
    assert set(contest.remarks) == {
        "part is left out: it predicted other rows (45) than most runs have (90).",
        "relabelled is left out: the same rows had other labels when it was trained.",
        "without is left out: runs/without/oof.csv: no such file",
        "broken is left out: runs/broken/oof.csv: probabilities are outside of 0..1 or do not sum to 1",
    }


def test_of_runs_with_other_folds_the_command_allows_them() -> None:
    make_run("a", 0.8, predicted(0))
    make_run("b", 0.8, predicted(1), fold_shift=1)
    (line,) = [line for line in printed() if line.startswith("python inference.py")]
    assert line == "python inference.py inference.run=a,b inference.other_folds=allow"


def test_only_the_best_of_many_runs_are_read_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "COMPARED", 3)
    monkeypatch.setattr(alike, "PAIRED", 2)
    for number, name in enumerate("abcde"):
        make_run(name, 0.9 - number / 10, predicted(number) if name in "abc" else None)
    (contest,) = look().contests
    assert contest.likeness is not None and contest.likeness.names == ("a", "b", "c") and len(contest.likeness.pairs) == 1
    assert contest.remarks == ("The 3 best of 5 runs are compared.",)
    printed()
    assert "Pairs of the 2 best runs." in page()


def test_of_large_predictions_fewer_are_read_and_two_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [make_run(name, 0.9 - number / 10, predicted(number)).oof.stat().st_size for number, name in enumerate("abcd")]
    for limit, names in ((sum(sizes[:3]), ("a", "b", "c")), (1, ("a", "b")), (sum(sizes), ("a", "b", "c", "d"))):
        monkeypatch.setattr(alike, "READ", limit)
        (contest,) = look().contests
        assert contest.likeness is not None and contest.likeness.names == names
        assert contest.remarks == (() if len(names) == 4 else (f"The {len(names)} best of 4 runs are compared.",))


def test_debug_runs_and_a_single_run_are_not_compared() -> None:
    make_run("a", 0.8, predicted(0))
    make_run("try", 0.8, predicted(1), debug=True)
    assert look().contests[0].likeness is None and "what to blend" not in "\n".join(printed()) + page()


def test_no_line_of_a_table_is_wider_than_a_terminal() -> None:
    for number in range(3):
        make_run(f"{number}-{'a-long-name-' * 8}", 0.8, config=[])
    name = f"0-{'a-long-name-' * 8}"
    write_ledger(f"{name}.csv,{name},0.8,2026-01-02 03:04:05,0.79,0.78")
    lines = printed()
    start = next(place for place, line in enumerate(lines) if line.startswith("run "))
    table = lines[start : start + 4] + lines[start + 5 : start + 7]
    assert table[4].startswith("submission ") and max(map(len, table)) == 100
    assert all("0.8000" in line for line in table[1:4]) and "0.7900   0.7800" in table[1]


def test_the_page_escapes_names_links_reports_and_asks_for_nothing() -> None:
    name = '<b>"one" & o\'ther?#'
    run = make_run(name, 0.8, predicted(0))
    run.report.write_text("")
    make_run("plain", 0.7, predicted(1))
    write_ledger('"<i>x</i>.csv",plain,0.7,,0.6,')
    printed()
    text = page()
    assert "<b>&quot;" not in text and '<b>"' not in text and "<i>x" not in text and "&lt;i&gt;x&lt;/i&gt;.csv" in text
    links = re.findall(r'href="(\./[^"]*)"', text)
    assert links == ["./%3Cb%3E%22one%22%20%26%20o%27ther%3F%23/report.html"]
    assert not re.findall(r"<script|https?://|@import|url\(", text)
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]*)"', text))


def test_without_scores_the_page_and_the_terminal_say_where_they_are_filled_in() -> None:
    make_run("a", 0.8)
    none = "No submission yet: python inference.py makes one, and a row of the ledger, which takes the leaderboard's scores."
    assert none in printed() and none in unescape(page())
    write_ledger("a.csv,a,0.8,,,")
    told = "write them into the columns public_score and private_score of submissions/ledger.csv (a spreadsheet will do)"
    assert told in "\n".join(printed()) and told in page()
    write_ledger("a.csv,a,0.8,,0.7,")
    assert "write them into" not in "\n".join(printed()) + page()


def test_a_folder_that_takes_no_page_still_shows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("a", 0.8)

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modules.jobs.comparing.write_text", full)
    lines = printed()
    assert lines[-1] == "runs/runs.html cannot be written: No space left on device" and any(line.startswith("a ") for line in lines)

"""`[model] pretrained = a run`: each fold begins with its own fold of that run, and nothing that was learnt from is validated."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from modules.config.errors import OptionError
from modules.config.reader import read_config
from modules.data.splits import Fold
from modules.data.task import classification
from modules.jobs.preparation import prepare
from modules.reporting.sinks import Silence
from modules.runs.checkpoint import load_checkpoint, save_checkpoint
from modules.runs.directory import RunDirectory
from modules.training.parts import make_network
from tests.digests import digest_tensors
from tests.making import fast, make_contest, write_config
from tests.scripts.running import digests, history, refusal, run_inference, run_train

MEAN = "data.mean=0.3, 0.4, 0.5"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A contest's root with a finished run `a`, and the arguments that made it."""
    root = tmp_path_factory.mktemp("earlier")
    make_contest(root / "contest")
    config = write_config(root / "config.ini", "[settings]\n")
    more = ("model.name=test_resnet", "data.test_csv=test.csv")
    arguments = [str(config), *fast(root / "contest", f"settings.log_path={root / 'runs'}", *more)]
    assert run_train(*arguments, MEAN, "hyper_params.epochs=4", "settings.run_name=a", "--quiet") == 0
    return root, arguments


def planned(arguments: list[str], *more: str) -> Any:
    return prepare(read_config(arguments[:1], [*arguments[1:], *more])[0])


def test_every_fold_begins_with_the_weights_of_its_own_fold_head_included(earlier: tuple[Path, list[str]]) -> None:
    root, arguments = earlier
    plan = planned(arguments, "model.pretrained=a", "model.head_init=zeros")
    began = [digest_tensors(dict(make_network(plan, fold.number, plan.pretrained).module.state_dict())) for fold in plan.folds]
    ended = [digest_tensors(load_checkpoint(root / f"runs/a/fold{number}/best.pt")["model"]) for number in (0, 1)]
    assert began == ended and ended[0] != ended[1]
    # mean and std auto are those that the weights were trained with.
    assert plan.preprocessing.mean == (0.3, 0.4, 0.5) and plan.preprocessing.std == (0.5, 0.5, 0.5)


@pytest.mark.slow
def test_scores_go_on_from_there_and_the_run_says_where_it_began(
    earlier: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = earlier
    slow = ("hyper_params.epochs=1", "hyper_params.learning_rate=1e-4")
    for name, start in (("scratch", "false"), ("warm", str(root / "runs/a"))):
        assert run_train(*arguments, *slow, f"model.pretrained={start}", f"settings.run_name={name}") == 0
    assert f"timm test_resnet from {root / 'runs/a'}, fold by fold" in capsys.readouterr().out
    for fold in (0, 1):
        cold, warm, before = (
            float(history(root / "runs" / name, fold)[row]["valid_loss"]) for name, row in (("scratch", 0), ("warm", 0), ("a", -1))
        )
        assert warm < 0.8 * cold and warm == pytest.approx(before, abs=0.15)
    assert json.loads((root / "runs/warm/environment.json").read_text())["pretrained"] == f"{root / 'runs/a'}, fold by fold"
    assert run_inference(*arguments, "inference.run=warm") == 0


def test_with_classes_in_another_order_everything_but_the_head_begins_there(earlier: tuple[Path, list[str]]) -> None:
    root, arguments = earlier
    plan = planned(arguments, "model.pretrained=a")
    other = replace(plan, samples=replace(plan.samples, task=classification("label", ("dog", "cat", "eel"))))
    network = make_network(other, 1, plan.pretrained)
    ended = load_checkpoint(root / "runs/a/fold1/best.pt")["model"]
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, ended[name]) is not name.startswith("fc."), name


def test_a_first_layer_of_the_run_is_kept_whatever_stem_init_says(tmp_path: Path) -> None:
    arguments = fast(make_contest(tmp_path / "contest"), "data.channels=1", "hyper_params.epochs=1", "data.test_csv=test.csv")
    Path("config.ini").touch()
    assert run_train(*arguments, "settings.run_name=grey", "--quiet") == 0
    plan = prepare(read_config([], [*arguments, "model.pretrained=grey", "model.stem_init=xavier"])[0])
    ended = load_checkpoint(Path("runs/grey/fold0/best.pt"))["model"]
    assert digest_tensors(dict(make_network(plan, 0, plan.pretrained).module.state_dict())) == digest_tensors(ended)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["settings.seed=7"],
            r"of the 30 samples that fold 0 validates, \S+/runs/a validated \d+ there; \d+ that its model may have learnt",
        ),
        (
            ["split.method=kfold"],
            r"may have learnt from would be validated: train_\d+, train_\d+, train_\d+, train_\d+, train_\d+ and \d+ more",
        ),
        (["split.folds=3"], r"/runs/a has folds 0, 1, and not 2; it needs the same folds"),
        (["model.name=test_vit"], r"/runs/a/fold0/best.pt: the weights do(?: not|n't) (?:fit|be)|weights are not of this model"),
        (["model.library=torchvision", "model.name=resnet18"], r"/runs/a/fold0/best.pt: the weights do not fit the model: of \d+ tensors"),
        (["model.pretrained=b"], r"pretrained: b: no such file and no such run \(\S+/runs has .*a.*\); expected auto, true, false, a file"),
    ],
)
def test_another_split_another_model_and_no_run_are_refused(
    earlier: tuple[Path, list[str]], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = earlier
    before = sorted(path.name for path in (root / "runs").iterdir())
    (line,) = refusal(run_train, [*arguments, "model.pretrained=a", *more, "--quiet"], capsys)
    assert re.search(message, line), line
    assert sorted(path.name for path in (root / "runs").iterdir()) == before


def test_the_refusal_counts_what_would_have_leaked(earlier: tuple[Path, list[str]]) -> None:
    _, arguments = earlier
    warm, other = planned(arguments, "model.pretrained=a").pretrained, planned(arguments, "settings.seed=7")
    with open(warm.run.folds, newline="") as file:
        trained_on = {row["id"] for row in csv.DictReader(file) if row["fold"] != "0"}
    leaked = trained_on & set(other.samples.ids[other.folds[0].valid_rows])
    with pytest.raises(OptionError, match=rf"; {len(leaked)} that its model may have learnt from would be validated: {min(leaked)}, "):
        warm.check_folds(other.samples, other.folds)
    warm.check_folds(other.samples, [Fold(0, np.arange(60), np.arange(0))])  # nothing is validated: nothing leaks


def test_repeated_folds_are_compared_fold_by_fold(earlier: tuple[Path, list[str]]) -> None:
    """folds.csv of a run with repeats has a sample several times; -1 is a sample that no fold validates."""
    _, arguments = earlier
    plan = planned(arguments, "model.pretrained=a")
    run = RunDirectory(Path("repeated"))
    run.path.mkdir()
    rows = [("train_000", 0), ("train_001", 1), ("train_001", 2), ("train_000", 3), ("train_002", -1)]
    run.folds.write_text("id,fold\n" + "".join(f"{name},{number}\n" for name, number in rows))
    trained = load_checkpoint(plan.pretrained.run.fold(0).best)
    for number in range(4):
        run.fold(number).path.mkdir()
        save_checkpoint(run.fold(number).best, {**trained, "fold": number})
    known = {"fold_numbers": [0, 1, 2, 3], "best_epochs": [trained["epoch"]] * 4}
    warm = replace(plan.pretrained, run=run, result={**plan.pretrained.result, **known})
    one = {number: plan.samples.ids.tolist().index(name) for name, number in rows}
    warm.check_folds(plan.samples, [Fold(number, np.arange(0), np.array([row])) for number, row in one.items() if number >= 0])
    with pytest.raises(OptionError, match="fold 3 validates"):
        warm.check_folds(plan.samples, [Fold(3, np.arange(0), np.array([one[2]]))])


def test_a_run_that_is_not_finished_or_lacks_a_fold_is_refused(
    earlier: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = earlier
    for file, message in (
        ("result.json", "part: the run is not finished; python train.py --resume part goes on with it"),
        ("fold1/best.pt", "part/fold1/best.pt: missing; the run has folds 0, 1"),
    ):
        part = shutil.copytree(root / "runs/a", tmp_path / file.replace("/", "-") / "part")
        (part / file).unlink()
        (line,) = refusal(run_train, [*arguments, f"model.pretrained={part}", "--quiet"], capsys)
        assert line.endswith(message)


def test_check_begins_there_too_and_says_so(earlier: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    _, arguments = earlier
    before = sorted((earlier[0] / "runs").iterdir())
    assert run_train(*arguments, "model.pretrained=a", "--check") == 0
    out = capsys.readouterr().out
    assert "runs/a, fold by fold" in out
    (loss,) = re.findall(r"one batch, forward and back: loss (\S+)", out)
    assert float(loss) < 0.9  # from scratch: about log(3)
    assert sorted((earlier[0] / "runs").iterdir()) == before


@pytest.mark.slow
def test_stopped_and_resumed_equals_uninterrupted_also_for_a_fold_that_had_not_begun(
    earlier: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, arguments = earlier
    warm = ["model.pretrained=a", "hyper_params.epochs=2", "augmentation.preset=light", "--quiet"]
    assert run_train(*arguments, *warm, "settings.run_name=whole") == 0
    with monkeypatch.context() as patched:
        patched.setattr(Silence, "end_epoch", _interrupted)
        assert run_train(*arguments, *warm, "settings.run_name=stopped") == 130
    assert not (root / "runs/stopped/fold1").exists()
    assert run_train("--resume", str(root / "runs/stopped"), "--quiet") == 0
    assert digests(root / "runs/stopped") == digests(root / "runs/whole")
    assert load_checkpoint(root / "runs/stopped/fold1/best.pt")["preprocessing"]["mean"] == [0.3, 0.4, 0.5]


@pytest.mark.slow
def test_once_every_fold_has_begun_the_earlier_run_may_go(
    earlier: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = earlier
    source = _begun_from_a_run_that_is_gone(root, arguments, "grown", tmp_path)
    grown = root / "runs/grown"
    assert run_train("--resume", str(grown), "hyper_params.epochs=2", "--quiet") == 0
    assert load_checkpoint(grown / "fold0/last.pt")["epoch"] == 2
    assert all(load_checkpoint(path)["preprocessing"]["mean"] == [0.3, 0.4, 0.5] for path in grown.glob("fold*/best.pt"))
    shutil.rmtree(grown / "fold1")
    line = refusal(run_train, ["--resume", str(grown), "hyper_params.epochs=3", "--quiet"], capsys)[-1]
    assert line.endswith(f"{source}: no such file; expected auto, true, false, a file of weights or a finished run")


def test_a_fold_that_joins_on_resume_is_not_validated_on_what_its_weights_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contest = make_contest(tmp_path / "contest")
    table = pd.read_csv(contest / "train.csv", dtype=str)
    table["then"] = [str(row // 3 % 3) for row in range(len(table))]
    table["now"] = [{"0": "0", "1": "2", "2": "1"}[number] for number in table["then"]]
    table.to_csv(contest / "train.csv", index=False)
    Path("config.ini").touch()
    arguments = fast(contest, "data.test_csv=test.csv", "hyper_params.epochs=1", "split.method=predefined")
    assert run_train(*arguments, "split.fold_column=then", "settings.run_name=then", "--quiet") == 0
    warm = ["split.fold_column=now", "model.pretrained=then", "settings.run_name=now"]
    assert run_train(*arguments, *warm, "split.train_folds=0", "--quiet") == 0
    line = refusal(run_train, ["--resume", "now", "split.train_folds=all", "--quiet"], capsys)[-1]
    assert "18 that its model may have learnt from would be validated" in line
    assert not Path("runs/now/fold1/best.pt").exists()


@pytest.mark.parametrize(
    ("fault", "number"),
    [("a flipped bit", 1), ("another fold", 1), ("another run", 1), ("another class order", 1), ("another class order", 0)],
)
def test_every_folds_checkpoint_is_looked_at_before_the_first_of_them_trains(
    earlier: tuple[Path, list[str]], tmp_path: Path, fault: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = earlier
    part = shutil.copytree(root / "runs/a", tmp_path / "part")
    best = part / f"fold{number}/best.pt"
    if fault == "a flipped bit":
        content = bytearray(best.read_bytes())
        content[len(content) // 2] ^= 4
        best.write_bytes(content)
    else:
        change = {
            "another fold": {"fold": 0},
            "another run": {"run_id": "x"},
            "another class order": {"task": classification("label", ("dog", "cat", "eel")).to_dict()},
        }
        save_checkpoint(best, {**load_checkpoint(best), **change[fault]})
    (line,) = refusal(run_train, [*arguments, f"model.pretrained={part}", "settings.run_name=begun", "--quiet"], capsys)
    told = {
        "a flipped bit": "damaged",
        "another fold": "this checkpoint is of fold 0, not of fold 1",
        "another run": "this checkpoint is of another run",
        "another class order": "its classes, or their order",
    }
    assert line.startswith(f"{best}: ") and told[fault] in line
    assert not (root / "runs/begun").exists()


def test_another_run_in_the_place_of_the_one_that_a_run_began_from_is_refused(
    earlier: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = earlier
    source = _begun_from_a_run_that_is_gone(root, arguments, "first", tmp_path)
    more = [f"settings.log_path={tmp_path}", "settings.run_name=source", "hyper_params.epochs=1", "data.mean=0.9", "--quiet"]
    assert run_train(*arguments, *more) == 0
    line = refusal(run_train, ["--resume", str(root / "runs/first"), "hyper_params.epochs=2", "--quiet"], capsys)[-1]
    assert line.endswith(f"{source} is not the run any more that first began from; start a new run")
    assert (root / "runs/first/result.json").exists()


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def _begun_from_a_run_that_is_gone(root: Path, arguments: list[str], name: str, tmp_path: Path) -> Path:
    """Makes a run of one epoch from a copy of run `a`, and removes that copy; returns where it was."""
    source = shutil.copytree(root / "runs/a", tmp_path / "source")
    assert run_train(*arguments, f"model.pretrained={source}", "hyper_params.epochs=1", f"settings.run_name={name}", "--quiet") == 0
    shutil.rmtree(source)
    return source

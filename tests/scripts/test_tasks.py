"""Every kind of task, from a table to a submission: what is learnt is what was asked, and what is written is what was learnt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, mean_squared_error, roc_auc_score

from tests.colours import CHANNELS, make_colours, write_template
from tests.making import fast, write_config
from tests.scripts.running import run_inference, run_train
from tests.some import some

LEARNING = ("data.source=csv", "data.test_csv=test.csv", "data.image_size=16", "hyper_params.epochs=12", "hyper_params.learning_rate=0.01")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_colours(tmp_path_factory.mktemp("colours") / "contest")


def enter(contest: Path, *options: str) -> tuple[dict[str, object], pd.DataFrame, pd.DataFrame]:
    """Trains and infers in the current folder; returns result.json, oof.csv and the submission."""
    write_config(Path("config.ini"), "[settings]\nrun_name = a\n")
    arguments = [*fast(contest), *LEARNING, *options]
    assert run_train(*arguments, "--quiet") == 0
    assert run_inference(*arguments, "inference.answers=" + str(contest / "answers.csv"), "--quiet") == 0
    result = json.loads(Path("runs/a/result.json").read_text())
    return result, read("runs/a/oof.csv"), read("submissions/a.csv")


def read(path: str | Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": str}, keep_default_na=False)


def truth(contest: Path, part: str, ids: Sequence[str]) -> pd.DataFrame:
    return read(contest / ("train.csv" if part == "train" else "answers.csv")).set_index("id").loc[list(ids)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "loss", ["auto", pytest.param("cross_entropy", marks=pytest.mark.slow), pytest.param("focal", marks=pytest.mark.slow)]
)
def test_binary_gives_one_probability_of_the_second_class(colours: Path, loss: str) -> None:
    write_template(colours, bright=0.5)
    result, oof, submission = enter(
        colours, "data.task=binary", "data.label_columns=bright", "hyper_params.metric=roc_auc", f"hyper_params.loss={loss}"
    )
    known = truth(colours, "train", oof["id"])["bright"] == "yes"
    assert result["oof"] == pytest.approx(roc_auc_score(known, oof["p:yes"]), abs=1e-6) and result["oof"] > 0.9
    assert np.allclose(oof["p:no"] + oof["p:yes"], 1, atol=1e-6)
    assert roc_auc_score(truth(colours, "test", submission["id"])["bright"] == "yes", submission["bright"]) > 0.9


@pytest.mark.parametrize("way", some(["columns", "cell"]))
def test_multilabel_reads_columns_and_cells_alike(colours: Path, way: str) -> None:
    options = ["data.label_columns=red, green, blue"] if way == "columns" else ["data.label_columns=labels", "data.label_separator=space"]
    write_template(colours, **(dict.fromkeys(CHANNELS, 0.5) if way == "columns" else {"labels": "red blue"}))
    result, oof, submission = enter(colours, "data.task=multilabel", "inference.decision=plain", "inference.empty_labels=none", *options)
    known = truth(colours, "train", oof["id"])[list(CHANNELS)]
    given = oof[[f"p:{name}" for name in CHANNELS]] >= 0.5
    assert result["oof"] == pytest.approx(f1_score(known, given, average="macro", zero_division=0), abs=1e-9) and result["oof"] > 0.8
    if way == "columns":
        assert list(submission.columns) == ["id", *CHANNELS] and submission[list(CHANNELS)].to_numpy().max() <= 1
    else:
        sets = [set(cell.split()) for cell in submission["labels"]]
        assert set().union(*sets) <= set(CHANNELS)
        right = truth(colours, "test", submission["id"])[list(CHANNELS)]
        told = [[name in labels for name in CHANNELS] for labels in sets]
        assert f1_score(right, told, average="macro", zero_division=0) > 0.75


@pytest.mark.parametrize("loss", ["cross_entropy", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mse", "huber", "bce"))])
def test_ordinal_gives_a_place_in_the_order(colours: Path, loss: str) -> None:
    write_template(colours, count=0)
    result, oof, submission = enter(
        colours, "data.task=ordinal", "data.label_columns=count", f"hyper_params.loss={loss}", "inference.decision=plain"
    )
    known = truth(colours, "train", oof["id"])["count"].astype(int)
    nearest = oof["p:count"].round().clip(0, 4).astype(int)
    assert result["oof"] == pytest.approx(cohen_kappa_score(known, nearest, weights="quadratic"), abs=1e-6) and result["oof"] > 0.6
    assert set(submission["count"].astype(int)) <= {0, 1, 2, 3, 4} and oof["p:count"].between(0, 4).all()


@pytest.mark.parametrize("loss", ["mse", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mae", "bce"))])
def test_regression_gives_numbers_on_the_scale_of_the_labels(colours: Path, loss: str) -> None:
    write_template(colours, mean=0)
    result, oof, submission = enter(colours, "data.task=regression", "data.label_columns=mean", f"hyper_params.loss={loss}")
    known = truth(colours, "train", oof["id"])["mean"].astype(float)
    assert result["oof"] == pytest.approx(mean_squared_error(known, oof["p:mean"]) ** 0.5, rel=1e-5)
    assert result["oof"] < 0.6 * known.std() and oof["p:mean"].between(known.min() - 1e-3, known.max() + 1e-3).all()
    right = truth(colours, "test", submission["id"])["mean"].astype(float)
    assert np.corrcoef(right, submission["mean"].astype(float))[0, 1] > 0.8


def test_multioutput_has_a_class_for_each_column(colours: Path) -> None:
    write_template(colours, red_level=0, green_level=0)
    result, oof, submission = enter(
        colours, "data.task=multioutput", "data.label_columns=red_level, green_level", "hyper_params.metric_weights=3, 1"
    )
    assert list(oof.columns)[2:6] == ["target:red_level", "target:green_level", "prediction:red_level", "prediction:green_level"]
    known = truth(colours, "train", oof["id"])
    recalls = []
    for name in ("red_level", "green_level"):
        values = oof[[f"p:{name}:{level}" for level in range(3)]].to_numpy()
        assert np.allclose(values.sum(axis=1), 1, atol=1e-5)
        right = known[name].to_numpy()
        recalls.append(np.mean([(values.argmax(axis=1) == right)[right == level].mean() for level in range(3)]))
    assert result["oof"] == pytest.approx((3 * recalls[0] + recalls[1]) / 4, abs=1e-9) and result["oof"] > 0.6
    assert set(submission["red_level"].astype(int)) <= {0, 1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [pytest.param([], marks=pytest.mark.slow), ["augmentation.mixup=0.2"]], ids=["plain", "mixed"])
def test_votes_are_learnt_as_shares(colours: Path, mixed: list[str]) -> None:
    write_template(colours, votes_b=1 / 3, votes_c=1 / 3, votes_a=1 / 3)
    result, oof, submission = enter(
        colours, "data.label_columns=votes_a, votes_b, votes_c", "hyper_params.metric=log_loss", "split.method=kfold", *mixed
    )
    names = ["votes_a", "votes_b", "votes_c"]
    shares = truth(colours, "train", oof["id"])[names].to_numpy(dtype=float)
    shares /= shares.sum(axis=1, keepdims=True)
    values = oof[[f"p:{name}" for name in names]].to_numpy()
    assert result["oof"] == pytest.approx(float(-(shares * np.log(values)).sum(axis=1).mean()), abs=1e-5)
    assert result["oof"] < -np.log(1 / 3) - 0.02
    assert list(submission.columns) == ["id", "votes_b", "votes_c", "votes_a"]
    assert np.abs(submission[names].to_numpy(dtype=float).sum(axis=1) - 1).max() < 1e-5


@pytest.mark.slow
def test_one_hot_columns_are_classes_in_the_templates_order(colours: Path) -> None:
    table = read(colours / "train.csv")
    one_hot = pd.get_dummies(table["red_level"], prefix="c").astype(int)
    pd.concat([table[["id"]], one_hot], axis=1).to_csv(colours / "one_hot.csv", index=False)
    write_template(colours, c_2=0, c_0=0, c_1=0)
    answers = read(colours / "answers.csv")
    pd.concat([answers[["id"]], pd.get_dummies(answers["red_level"], prefix="c").astype(int)], axis=1).to_csv("answers.csv", index=False)
    write_config(Path("config.ini"), "[settings]\nrun_name = a\n")
    arguments = [
        *fast(colours),
        *LEARNING,
        "data.train_csv=one_hot.csv",
        "data.label_columns=c_0, c_1, c_2",
        "hyper_params.metric=log_loss",
    ]
    assert run_train(*arguments, "--quiet") == 0
    assert run_inference(*arguments, "inference.answers=answers.csv", "--quiet") == 0
    submission = read("submissions/a.csv")
    known = truth(colours, "test", submission["id"])["red_level"].to_numpy(dtype=int)
    assert log_loss(known, submission[["c_0", "c_1", "c_2"]].to_numpy(dtype=float)) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "column", "losses"), [("binary", "bright", ("bce", "cross_entropy")), ("ordinal", "count", ("mse", "bce"))]
)
def test_a_run_may_begin_from_one_whose_loss_takes_another_number_of_outputs(
    colours: Path, task: str, column: str, losses: tuple[str, str]
) -> None:
    """Its head is new then; all else is the earlier run's."""
    write_template(colours, **{column: 0})
    write_config(Path("config.ini"), "[settings]\n")
    arguments = [*fast(colours), *LEARNING, f"data.task={task}", f"data.label_columns={column}", "hyper_params.epochs=1", "--quiet"]
    for name, loss, pretrained in (("a", losses[0], "false"), ("b", losses[1], "a"), ("c", losses[1], "b")):
        assert run_train(*arguments, f"hyper_params.loss={loss}", f"model.pretrained={pretrained}", f"settings.run_name={name}") == 0

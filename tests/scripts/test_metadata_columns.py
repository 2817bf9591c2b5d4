"""[data] metadata_columns from the INI to the submission: a contest whose images say nothing, and whose tables say it all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from modules.reporting.sinks import Silence
from modules.runs.checkpoint import load_checkpoint
from modules.runs.directory import RunDirectory
from tests.making import fast, write_config
from tests.scripts.running import digests, read, refusal, run_inference, run_look, run_train

SAID = "data.metadata_columns=sex, age, ward"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`contest`: grey images, with a little noise; ill are the women above 50, and those whose age is not known. Run `a` learnt it."""
    root = tmp_path_factory.mktemp("metadata")
    rng = np.random.default_rng(0)
    contest = root / "contest"
    for part, count in (("train", 120), ("test", 60)):
        (contest / part).mkdir(parents=True)
        ids = [f"{part}_{row:03d}" for row in rng.permutation(count)]
        for name in ids:
            Image.fromarray(rng.integers(127, 130, (16, 16, 3), dtype=np.uint8)).save(contest / part / f"{name}.png")
        women, ages = np.arange(count) % 2 == 0, rng.integers(20, 80, count)
        known = rng.random(count) > 0.2
        table = pd.DataFrame({"id": ids, "ill": np.where(known, women & (ages > 50), True).astype(int)})
        table = table.assign(
            sex=np.where(women, "female", "male"), age=np.where(known, ages.astype(str), ""), ward=rng.choice(["07", "7b"], count)
        )
        table.drop(columns=["ill"] * (part == "test")).to_csv(contest / f"{part}.csv", index=False)
        if part == "test":
            table[["id", "ill"]].to_csv(contest / "answers.csv", index=False)
            table[["id"]].assign(ill=0.5).to_csv(contest / "sample_submission.csv", index=False)
    write_config(root / "config.ini", "[settings]\n")
    assert run_train(*asked(root, SAID, "settings.run_name=a"), "--quiet") == 0
    return root


def asked(root: Path, *more: str) -> list[str]:
    return [
        str(root / "config.ini"),
        *fast(
            root / "contest",
            f"settings.log_path={root / 'runs'}",
            "data.task=binary",
            "data.label_columns=ill",
            "data.test_csv=test.csv",
            "data.image_size=32",
            "model.name=test_vit",
            "hyper_params.metric=roc_auc",
            "hyper_params.epochs=12",
            "hyper_params.learning_rate=0.01",
            *more,
        ),
    ]


def told(root: Path, *more: str) -> list[str]:
    """What inference is told: nothing of the metadata."""
    contest, runs = root / "contest", root / "runs"
    more = (f"settings.data_path={contest}", f"settings.log_path={runs}", *more)
    plain = ("data.source=csv", "data.test_csv=test.csv", "data.label_columns=ill", "data.image_suffix=.png", "settings.gpu=false")
    return [str(root / "config.ini"), *plain, "compute.threads=1", "settings.num_workers=0", *more]


def auc(root: Path, submission: str) -> float:
    answers = read(root / "contest/answers.csv").set_index("id")["ill"].astype(int)
    given = read(Path("submissions") / submission).set_index("id")["ill"].astype(float)
    return float(roc_auc_score(answers, given.loc[answers.index]))


def result_of(root: Path, run: str, what: str = "oof") -> float:
    return float(json.loads((root / "runs" / run / "result.json").read_text())[what])


@pytest.mark.slow
def test_what_only_the_table_knows_is_learnt_with_it_and_not_without(root: Path) -> None:
    for name, columns in (("seeing", ["data.metadata_columns=sex, age"]), ("blind", [])):
        assert run_train(*asked(root, *columns, f"settings.run_name={name}"), "--quiet") == 0
        assert run_inference(*told(root, f"inference.run={name}"), "--quiet") == 0
    assert result_of(root, "seeing") > 0.95 and auc(root, "seeing.csv") > 0.95
    assert 0.3 < result_of(root, "blind") < 0.7 and 0.25 < auc(root, "blind.csv") < 0.75


@pytest.mark.slow
def test_inference_reads_the_test_table_as_training_did_and_never_the_training_table(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root / "contest", tmp_path / "moved")
    (tmp_path / "moved/train.csv").unlink()
    rows = read(root / "contest/test.csv")
    rows.loc[rows["sex"] == "male", "sex"] = "man"  # the training table has no such word
    rows.to_csv(tmp_path / "moved/test.csv", index=False)
    capsys.readouterr()
    assert run_inference(*told(root, "inference.run=a", f"settings.data_path={tmp_path / 'moved'}"), "--quiet") == 0
    warned = f"metadata column 'sex': {(rows['sex'] == 'man').sum()} cells count as blank, since no training row says that"
    assert warned in capsys.readouterr().err
    rows.drop(columns="sex").to_csv(tmp_path / "moved/test.csv", index=False)
    lines = refusal(run_inference, told(root, "inference.run=a", f"settings.data_path={tmp_path / 'moved'}"), capsys)
    assert lines == ["default [data] metadata_columns: test.csv has no column 'sex'; it has id, age, ward"]


@pytest.mark.slow
def test_every_prediction_stays_with_its_id_whatever_the_order_of_tables_and_template(root: Path, tmp_path: Path) -> None:
    assert run_inference(*told(root, "inference.run=a"), "--quiet") == 0
    straight = read(Path("submissions/a.csv")).set_index("id")["ill"]
    shutil.copytree(root / "contest", tmp_path / "shuffled")
    for seed, name in enumerate(("test.csv", "sample_submission.csv")):
        rows = read(root / "contest" / name).sample(frac=1, random_state=seed)
        rows.to_csv(tmp_path / "shuffled" / name, index=False)
    assert run_inference(*told(root, "inference.run=a", f"settings.data_path={tmp_path / 'shuffled'}"), "--quiet") == 0
    shuffled = read(Path("submissions/a-2.csv"))
    assert shuffled["id"].tolist() == read(tmp_path / "shuffled/sample_submission.csv")["id"].tolist() != straight.index.tolist()
    assert np.allclose(shuffled.set_index("id")["ill"].loc[straight.index].astype(float), straight.astype(float), atol=1e-5)


MORE = ("model.ema_decay=0.9", "hyper_params.epochs=3", "augmentation.preset=light", "inference.tta=hflip", "model.dropout=0.2")


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_result(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = asked(root, SAID, *MORE)
    assert run_train(*arguments, "settings.run_name=whole", "--quiet") == 0
    with monkeypatch.context() as patched:

        def stop(self: Silence, fold: int, epoch: int, *rest: object) -> None:
            if (fold, epoch) == (1, 2):
                raise KeyboardInterrupt

        patched.setattr(Silence, "start_epoch", stop)
        assert run_train(*arguments, "settings.run_name=stopped", "--quiet") == 130
    assert run_train(f"settings.log_path={root / 'runs'}", "--resume", "stopped", "--quiet") == 0
    assert digests(root / "runs/stopped") == digests(root / "runs/whole")


def test_a_resumed_run_must_find_the_metadata_that_it_began_with(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(root / "contest", tmp_path / "contest")
    shutil.copytree(root / "runs/a", tmp_path / "runs/a")
    rows = read(tmp_path / "contest/train.csv")
    rows.loc[0, "ward"] = "7b" if rows.loc[0, "ward"] == "07" else "07"
    rows.to_csv(tmp_path / "contest/train.csv", index=False)
    where = [f"settings.log_path={tmp_path / 'runs'}", f"settings.data_path={tmp_path / 'contest'}"]
    (tmp_path / "runs/a/result.json").unlink()
    (line,) = refusal(run_train, [*where, "--resume", "a", "--quiet"], capsys)
    assert "labels, groups or metadata in the training table have changed since this run started" in line


@pytest.mark.slow
def test_a_frozen_backbone_is_to_the_end_what_it_began_with_and_its_features_are_not_stored(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run_train(*asked(root, SAID, "model.freeze=backbone", "settings.run_name=frozen"), "--quiet") == 0
    assert "features are not stored: metadata columns are joined to the model's features\n" in capsys.readouterr().err
    assert result_of(root, "frozen") > 0.95
    weights = [load_checkpoint(RunDirectory(root / "runs/frozen").fold(0).path / name)["model"] for name in ("best.pt", "last.pt")]
    assert all((weights[0][name] == tensor).all() for name, tensor in weights[1].items() if not name.startswith("joined."))
    assert "joined.output.weight" in weights[0] and "head.weight" not in weights[0]


@pytest.mark.slow
def test_a_model_of_torchvision_and_the_probe_before_everything_trains(root: Path) -> None:
    library = ("model.library=torchvision", "model.name=shufflenet_v2_x0_5")
    assert (
        run_train(
            *asked(root, SAID, *library, "hyper_params.probe_epochs=3", "hyper_params.epochs=1", "settings.run_name=vision"), "--quiet"
        )
        == 0
    )
    assert run_inference(*told(root, "inference.run=vision"), "--quiet") == 0
    assert result_of(root, "vision", "mean") > 0.8 and auc(root, "vision.csv") > 0.8


@pytest.mark.slow
def test_a_run_begins_with_one_without_metadata_and_one_that_has_the_same_goes_on(root: Path) -> None:
    small = ("hyper_params.epochs=1", "hyper_params.learning_rate=1e-9")
    assert run_train(*asked(root, *small, "settings.run_name=before"), "--quiet") == 0
    assert run_train(*asked(root, SAID, *small, "model.pretrained=before", "settings.run_name=behind"), "--quiet") == 0
    assert run_train(*asked(root, SAID, *small, "model.pretrained=a", "settings.run_name=on"), "--quiet") == 0
    before, behind, a, on = (load_checkpoint(root / f"runs/{name}/fold1/best.pt")["model"] for name in ("before", "behind", "a", "on"))
    kept = [name for name in before if not name.startswith("head.")]
    assert kept and all(np.allclose(before[name], behind[name], atol=1e-6) for name in kept)
    assert all(np.allclose(a[name], on[name], atol=1e-6) for name in (*kept, "joined.output.weight", "joined.metadata.layer.weight"))


@pytest.mark.slow
def test_a_blend_may_join_runs_with_and_without_metadata_and_not_with_others(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("hyper_params.epochs=1",)
    assert run_train(*asked(root, *small, "settings.run_name=plain"), "--quiet") == 0
    assert run_train(*asked(root, *small, "data.metadata_columns=sex", "settings.run_name=sex"), "--quiet") == 0
    for runs in ("plain, a", "a, plain"):
        assert run_inference(*told(root, f"inference.run={runs}", "inference.tta=hflip"), "--quiet") == 0
    ends = [read(path).set_index("id")["ill"].astype(float) for path in sorted(Path("submissions").glob("*+*.csv"))]
    assert len(ends) == 2 and np.allclose(ends[0], ends[1], atol=1e-6)
    (line,) = refusal(run_inference, told(root, "inference.run=a, sex"), capsys)
    assert line == "a and sex cannot be blended: their metadata columns, or what the training rows have there, differ"


def test_a_bundle_has_what_was_learnt_of_the_columns(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_inference(*told(root, "inference.run=a"), "--quiet") == 0
    assert run_look("bundle", "a", *told(root)) == 0
    shutil.unpack_archive("a.zip", tmp_path / "bundle")
    here = Path.cwd()
    monkeypatch.chdir(tmp_path / "bundle")
    assert run_inference("config.ini", f"settings.data_path={root / 'contest'}", "--quiet") == 0
    assert Path("submissions/a.csv").read_bytes() == (here / "submissions/a.csv").read_bytes()


def test_an_export_says_that_the_library_alone_does_not_build_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_look("export", "a", *told(root)) == 0
    told_of = "note: timm alone does not build this model: metadata columns (sex, age, ward) are joined to its features;"
    assert told_of in capsys.readouterr().out
    said = json.loads((root / "runs/a/export/model.json").read_text())["task"]["inputs"]
    assert [(each["name"], each["categories"], each["blanks"]) for each in said] == [
        ("sex", ["female", "male"], False),
        ("age", [], True),
        ("ward", ["07", "7b"], False),
    ]


@pytest.mark.slow
def test_check_and_look_tell_of_the_columns(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "metadata  6 numbers an image: sex (female, male), age (a number, or none), ward (07, 7b)"
    for script, words in ((run_train, ["--check"]), (run_look, ["data"])):
        capsys.readouterr()
        arguments = [*words, *asked(root, SAID)] if script is run_look else [*asked(root, SAID), *words]
        assert script(*arguments) == 0
        assert line in capsys.readouterr().out.splitlines()
    assert run_look("model", *asked(root, SAID)) == 0
    out = capsys.readouterr().out
    assert "head      joined, with 6 numbers of metadata" in out and "JoinedHead (joined)" in out
    assert run_look("model", *asked(root, SAID, "settings.data_path=nowhere")) == 0
    assert "head      joined, with 3 numbers of metadata" in capsys.readouterr().out


def test_mistakes_that_the_ini_alone_shows_are_told_at_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ("data.test_csv=", "model.head=append", "augmentation.mixup=0.2", "model.feature_cache=on", "model.freeze=backbone")
    lines = refusal(run_train, asked(root, "data.metadata_columns=sex, ill", *wrong), capsys)
    assert len(lines) == 6  # mixup and stored features are another
    for message in (
        "override data.metadata_columns: metadata_columns need a test_csv that has them",
        "override data.metadata_columns: 'ill' is what is predicted; it cannot be known before",
        "override model.head: append follows the library's own head, and metadata_columns are joined to what goes into that; use replace",
        "override model.feature_cache: metadata_columns are joined to features, which are not stored then; use auto",
        "override augmentation.mixup: mixup blends images, and metadata_columns of two images do not blend",
    ):
        assert message in lines
    lines = refusal(run_train, [str(root / "config.ini"), "data.metadata_columns=a, a", "data.source=folder"], capsys)
    assert lines == [
        "override data.metadata_columns: columns of the tables of source = csv, and source is folder",
        "override data.metadata_columns: expected different columns, got 'a, a'",
    ]


@pytest.mark.slow
def test_several_outputs_and_head_separate_go_with_metadata(root: Path, tmp_path: Path) -> None:
    """The metadata are the model's business: a task and its loss see logits alone."""
    shutil.copytree(root / "contest", tmp_path / "contest")
    rows = read(tmp_path / "contest/train.csv")
    rows.assign(who=rows["sex"] + rows["ward"]).to_csv(tmp_path / "contest/train.csv", index=False)
    outputs = ("data.task=multioutput", "data.label_columns=who, ill", "hyper_params.metric=macro_recall", "model.head=separate")
    small = (f"settings.data_path={tmp_path / 'contest'}", "settings.run_name=outputs")
    assert run_train(*asked(root, SAID, *outputs, *small), "--quiet") == 0
    assert result_of(root, "outputs") > 0.85

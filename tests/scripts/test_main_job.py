"""train.py and inference.py, end to end, on a small contest of one's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss

from modules.data.task import classification
from modules.runs.checkpoint import load_checkpoint, save_checkpoint
from tests.digests import digest_tensors
from tests.making import fast, make_contest, write_config
from tests.scripts.running import digests, history, read, refusal, run_inference, run_train
from tests.tiny import TINY

NOTES_INI = """[settings]
debug = True,
gpu = True
log_path = ./logs
data_path = ./data,
[hyper_params]
epoch = 10,
batch_size = 64,
lr_rate = 0.001,
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """A finished run named `done`, and the arguments that made it. Read it, or copy it."""
    root = tmp_path_factory.mktemp("trained")
    contest = make_contest(root / "contest")
    config = write_config(root / "config.ini", "[settings]\n")
    arguments = [str(config), *fast(contest, f"settings.log_path={root / 'runs'}", "data.test_csv=test.csv", "hyper_params.epochs=4")]
    assert run_train(*arguments, "settings.run_name=done", "--quiet") == 0
    return root, arguments


@pytest.fixture
def copied(trained: tuple[Path, list[str]], tmp_path: Path) -> tuple[Path, list[str]]:
    """The finished run and its contest, to be changed."""
    root, arguments = trained
    shutil.copytree(root, tmp_path / "copied")
    return tmp_path / "copied", [argument.replace(str(root), str(tmp_path / "copied")) for argument in arguments]


def test_a_run_leaves_every_file_of_the_contract(trained: tuple[Path, list[str]]) -> None:
    run = trained[0] / "runs" / "done"
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")}
    fold = {"best.pt", "last.pt", "last.prev.pt", "history.csv", "predictions.csv"}
    parts = {f"fold{number}/{name}" for number in range(2) for name in fold}
    assert names == {"config.ini", "environment.json", "folds.csv", "oof.csv", "result.json", "suspects.csv", *parts}


def test_oof_has_every_sample_once_and_its_score_is_that_of_all_rows_at_once(trained: tuple[Path, list[str]]) -> None:
    root, _ = trained
    oof, table = read(root / "runs/done/oof.csv"), read(root / "contest/train.csv")
    assert list(oof.columns) == ["id", "fold", "target", "prediction", "p:cat", "p:dog", "p:eel"]
    assert oof["id"].tolist() == table["id"].tolist()
    assert oof["target"].tolist() == table["label"].tolist()
    probabilities = oof[["p:cat", "p:dog", "p:eel"]].astype(float).to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert oof["prediction"].tolist() == [("cat", "dog", "eel")[index] for index in probabilities.argmax(axis=1)]
    result = json.loads((root / "runs/done/result.json").read_text())
    assert result["oof"] == accuracy_score(oof["target"], oof["prediction"])
    by_fold = [accuracy_score(part["target"], part["prediction"]) for _, part in oof.groupby("fold")]
    np.testing.assert_allclose(result["folds"], by_fold)
    np.testing.assert_allclose([result["mean"], result["std"]], [np.mean(by_fold), np.std(by_fold)])
    assert result["coverage"] == 1
    assert read(root / "runs/done/folds.csv")["fold"].tolist() == oof["fold"].tolist()


def test_the_submission_follows_the_template_and_is_scored(
    trained: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, arguments = trained
    contest, submissions = root / "contest", tmp_path / "submissions"
    more = [f"inference.answers={contest / 'answers.csv'}", f"inference.submission_path={submissions}"]
    assert run_inference(*arguments, *more) == 0
    written, template = read(submissions / "done.csv"), read(contest / "sample_submission.csv")
    assert list(written.columns) == list(template.columns)
    assert written["id"].tolist() == template["id"].tolist()
    score = accuracy_score(read(contest / "answers.csv")["label"], written["label"])
    assert f"score against the answers: accuracy {score:.4f}" in capsys.readouterr().out
    ledger, manifest = read(submissions / "ledger.csv"), json.loads((submissions / "done.json").read_text())
    assert ledger["file"].tolist() == ["done.csv"]
    assert (manifest["run"], len(manifest["members"]), manifest["weights"]) == ("done", 2, [0.5, 0.5])
    assert run_inference(*arguments, *more) == 0
    assert read(submissions / "ledger.csv")["file"].tolist() == ["done.csv", "done-2.csv"]
    assert (submissions / "done.csv").read_bytes() == (submissions / "done-2.csv").read_bytes()


def test_the_submission_averages_the_folds_probabilities(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    """Compared with timm and torch alone: the checkpoints loaded by timm, the images read by Pillow."""
    import timm
    from PIL import Image

    root, arguments = trained
    contest = tmp_path / "contest"
    shutil.copytree(root / "contest", contest)
    template = read(contest / "sample_submission.csv")[["id"]].assign(eel=0.3, cat=0.3, dog=0.4).iloc[::-1]
    template.to_csv(contest / "sample_submission.csv", index=False)
    more = [f"settings.data_path={contest}", f"inference.submission_path={tmp_path / 'submissions'}", "inference.batch_size=5"]
    assert run_inference(*arguments, *more, "inference.tta=hflip") == 0
    written = read(tmp_path / "submissions/done.csv")
    assert list(written.columns) == ["id", "eel", "cat", "dog"]
    assert written["id"].tolist() == template["id"].tolist()
    images = [np.array(Image.open(contest / "test" / f"{name}.png").resize((20, 20))) for name in written["id"]]
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    batch = (torch.nn.functional.interpolate(batch, (32, 32), mode="bilinear") - 0.5) / 0.5
    total = 0
    for fold in range(2):
        model = timm.create_model(TINY, num_classes=3).eval()
        checkpoint = torch.load(root / f"runs/done/fold{fold}/best.pt", weights_only=True)
        model.load_state_dict(checkpoint["model"])
        with torch.no_grad():
            total += (model(batch).softmax(1) + model(batch.flip(-1)).softmax(1)) / 4
    columns = [("cat", "dog", "eel").index(name) for name in written.columns[1:]]
    np.testing.assert_allclose(written.iloc[:, 1:].astype(float).to_numpy(), total.numpy()[:, columns], atol=0.02)


def test_a_second_run_of_the_same_config_learns_the_same(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, arguments = trained
    assert run_train(*arguments, f"settings.log_path={tmp_path}", "settings.run_name=again", "--quiet") == 0
    assert digests(tmp_path / "again") == digests(root / "runs/done")


def test_another_seed_learns_otherwise(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, arguments = trained
    assert run_train(*arguments, f"settings.log_path={tmp_path}", "settings.run_name=zero", "settings.seed=0", "--quiet") == 0
    assert digests(tmp_path / "zero")["fold0/last.pt"] != digests(root / "runs/done")["fold0/last.pt"]


@pytest.mark.slow
def test_any_number_of_workers_gives_one_result_and_augmentation_another(contest: Path, tmp_path: Path) -> None:
    found = {}
    for name, workers, preset in (("w0", 0, "heavy"), ("w1", 1, "heavy"), ("w2", 2, "heavy"), ("w4", 4, "heavy"), ("plain", 0, "none")):
        more = [
            f"settings.num_workers={workers}",
            f"augmentation.preset={preset}",
            f"settings.log_path={tmp_path}",
            "data.train_csv=few.csv",
            "split.method=holdout",
        ]
        read(contest / "train.csv").head(24).to_csv(contest / "few.csv", index=False)
        assert run_train(*_named(contest, *more, f"settings.run_name={name}"), "--quiet") == 0
        found[name] = digests(tmp_path / name)
    assert found["w0"] == found["w1"] == found["w2"] == found["w4"]
    assert found["w0"]["fold0/last.pt"] != found["plain"]["fold0/last.pt"]


def test_groups_are_never_divided(contest: Path, tmp_path: Path) -> None:
    more = [
        "data.group_column=person",
        "split.folds=3",
        f"settings.log_path={tmp_path}",
        "settings.run_name=grouped",
        "settings.debug=true",
    ]
    assert run_train(*_named(contest, *more), "--quiet") == 0
    folds, table = read(tmp_path / "grouped/folds.csv"), read(contest / "train.csv")
    assert folds["id"].tolist() == table["id"].tolist()
    assert folds.groupby(table["person"])["fold"].nunique().max() == 1
    assert sorted(folds["fold"].unique()) == ["0", "1", "2"]


def test_the_reference_notes_ini_runs_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(Path("config.ini"), NOTES_INI)
    more = ["model.name=test_resnet", "settings.gpu=false", "compute.threads=1", "settings.num_workers=0"]
    assert run_train(*more) == 0
    captured = capsys.readouterr()
    assert "config.ini:7 [hyper_params] epoch: the comma after '10,' is dropped" in captured.err
    assert len(list(Path("data/train").glob("*.png"))) == 1437
    assert run_inference(*more, "inference.answers=data/answers.csv") == 0
    assert "360 rows, the class in column 'label'" in capsys.readouterr().out


def test_a_debug_run_covers_a_part_and_is_not_the_latest(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    assert run_train(*arguments, "settings.debug=true", "settings.run_name=quick", "hyper_params.batch_size=2", "--quiet") == 0
    result = json.loads((root / "runs/quick/result.json").read_text())
    assert result["debug"]
    assert result["coverage"] == 12 / 60
    assert len(history(root / "runs/quick", 0)) == 1
    capsys.readouterr()
    assert run_inference(*arguments) == 0
    assert "runs/done: 2 folds" in capsys.readouterr().out
    assert run_inference(*arguments, "inference.run=quick") == 0
    assert "runs/quick, a debug run: 2 folds" in capsys.readouterr().out


def test_check_says_what_a_full_run_would_do_and_writes_nothing(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in contest.rglob("*"))
    assert run_train(*_named(contest, "hyper_params.epochs=3"), "--check") == 0
    out = capsys.readouterr().out
    assert "60 to train with, 12 to predict" in out
    assert "steps     24: 3 epochs of 4, 4 steps, at most" in out
    assert "one batch, forward and back: loss" in out
    assert [path.name for path in Path().iterdir()] == ["config.ini"]
    assert sorted(path.name for path in contest.rglob("*")) == before


@pytest.mark.parametrize(("size", "said"), [(30, True), (64, True), (15, False)])
def test_check_tells_of_epochs_of_a_single_step(size: int, said: bool, contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beginners leave batch_size as it is, and a model of ten steps knows nothing."""
    assert run_train(*_named(contest, f"hyper_params.batch_size={size}"), "--check") == 0
    line = f"one step an epoch: batch_size = {size} of 30 images; a smaller batch_size teaches more in as many epochs"
    assert (line in capsys.readouterr().out) is said


def test_check_looks_at_the_test_images_too(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (contest / "test/test_003.png").write_bytes(b"")
    lines = refusal(run_train, [*_named(contest), "--check"], capsys)
    assert lines == [f"{contest}/test/test_003.png: the file is empty (zero bytes)"]


def test_check_looks_at_the_template_too(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before hours of training, not after them."""
    assert run_train(*_named(contest), "--check") == 0
    assert "submits   12 rows, the class in column 'label'" in capsys.readouterr().out
    template = pd.read_csv(contest / "sample_submission.csv")
    template.assign(cat=0.5, dgo=0.5).drop(columns="label").to_csv(contest / "sample_submission.csv", index=False)
    (line,) = refusal(run_train, [*_named(contest), "--check"], capsys)
    assert line.startswith(f"{contest}/sample_submission.csv: ") and "dgo" in line


def test_check_looks_at_the_answers_too(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(run_train, [*_named(contest), "inference.answers=nowhere.csv", "--check"], capsys)
    assert "nowhere.csv" in line and line.startswith("override inference.answers: ")


def test_mistakes_of_all_rooms_are_told_at_once(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["model.name=test_resnot", "hyper_params.optimizer=adamv", "data.label_columns=lable", "augmentation.train=HorizontalFlop()"]
    lines = refusal(run_train, _named(contest, *more), capsys)
    assert lines == [
        "override data.label_columns: train.csv has no column 'lable' (did you mean label?); it has id, label, person",
        "override model.name: timm has no classification model 'test_resnot'; the nearest are test_resnet, test_nfnet, test_vit",
        "override hyper_params.optimizer: timm has no optimiser 'adamv'; the nearest are adam, radam, nadam",
        "override augmentation.train: albumentations has no transform 'HorizontalFlop' (did you mean HorizontalFlip?)",
    ]
    assert not Path("runs").exists()


def test_bad_training_images_are_all_named_before_training(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (contest / "train/train_003.png").write_bytes(b"")
    (contest / "train/train_007.png").write_text("not an image")
    (contest / "train/train_009.png").unlink()
    lines = refusal(run_train, _named(contest), capsys)
    assert lines == [
        f"{contest}/train/train_003.png: the file is empty (zero bytes)",
        f"{contest}/train/train_007.png: not an image that can be read",
        f"{contest}/train/train_009.png: no such file",
    ]
    assert not Path("runs").exists()


def test_bad_training_images_are_skipped_by_name_where_asked(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncated = contest / "train/train_003.png"
    truncated.write_bytes(truncated.read_bytes()[:300])
    assert run_train(*_named(contest, "data.bad_images=skip", "settings.run_name=skipped", "hyper_params.epochs=1"), "--quiet") == 0
    err = capsys.readouterr().err
    assert "1 training image is left out" in err
    assert f"{truncated}: damaged" in err
    assert "train_003" not in read(Path("runs/skipped/oof.csv"))["id"].tolist()
    assert len(read(Path("runs/skipped/oof.csv"))) == 59


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_image_stops_training_with_its_name(contest: Path, workers: int, capsys: pytest.CaptureFixture[str]) -> None:
    truncated = contest / "train/train_003.png"
    truncated.write_bytes(truncated.read_bytes()[:300])
    lines = refusal(run_train, _named(contest, f"settings.num_workers={workers}"), capsys)
    assert len(lines) == 1
    assert lines[0].startswith(f"{truncated}: damaged:")


def test_inference_never_skips_an_image(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    truncated = root / "contest/test/test_003.png"
    truncated.write_bytes(truncated.read_bytes()[:300])
    lines = refusal(run_inference, [*arguments, "data.bad_images=skip"], capsys)
    assert len(lines) == 1
    assert lines[0].startswith(f"{truncated}: damaged:")
    assert not list(Path("submissions").glob("*"))


def test_inference_refuses_what_contradicts_the_run(trained: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = trained
    lines = refusal(run_inference, [*arguments, "data.image_size=40", "data.mean=0.3", "model.name=test_vit"], capsys)
    end = f"leave it out, or: python inference.py {root}/runs/done/config.ini inference.run=done"
    assert lines == [
        f"override data.image_size: 40, but done was trained with 32; {end}",
        f"override data.mean: 0.3, but done was trained with auto; {end}",
        f"override model.name: test_vit, but done was trained with {TINY}; {end}",
    ]


def test_the_runs_own_config_predicts_too(trained: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_inference(str(trained[0] / "runs/done/config.ini")) == 0
    assert "submission: submissions/done.csv, 12 rows" in capsys.readouterr().out


def test_missing_foreign_and_reordered_folds_are_refused(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    first, second = root / "runs/done/fold0/best.pt", root / "runs/done/fold1/best.pt"
    kept = first.read_bytes(), second.read_bytes()
    first.write_bytes(kept[1])
    assert refusal(run_inference, arguments, capsys) == [f"{first}: this checkpoint is of fold 1, not of fold 0"]
    first.unlink()
    assert refusal(run_inference, arguments, capsys) == [f"{first}: missing; the run has folds 0, 1"]
    content = load_checkpoint(second)
    save_checkpoint(first, {**content, "fold": 0, "run_id": "of another run"})
    assert refusal(run_inference, arguments, capsys) == [f"{first}: this checkpoint is of another run"]
    save_checkpoint(first, {**content, "fold": 0, "task": classification("label", ("dog", "cat", "eel")).to_dict()})
    assert refusal(run_inference, arguments, capsys) == [f"{first}: its classes, or their order, are not those of the run"]
    first.write_bytes(kept[0][:-2000])
    assert refusal(run_inference, arguments, capsys)[0].startswith(f"{first}: damaged")


def test_a_run_that_is_not_finished_is_not_predicted_with(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    (root / "runs/done/result.json").unlink()
    assert refusal(run_inference, arguments, capsys) == [f"{root}/runs: no finished run to predict with; python train.py makes one"]
    lines = refusal(run_inference, [*arguments, "inference.run=done"], capsys)
    assert lines == [f"{root}/runs/done: the run is not finished; python train.py --resume done goes on with it"]


def test_a_name_that_is_taken_is_refused(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    before = digests(root / "runs/done")
    lines = refusal(run_train, [*arguments, "settings.run_name=done"], capsys)
    assert lines == [f"override settings.run_name: {root}/runs/done exists; choose another, or python train.py --resume done"]
    assert digests(root / "runs/done") == before


def test_groups_and_images_in_several_folds_are_told(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["data.group_column=person", "split.method=kfold", "settings.debug=true", "data.image_column=image"]
    table = read(contest / "train.csv")
    table.assign(image=["train_000", *table["id"][1:-1], "train_000"]).to_csv(contest / "train.csv", index=False)
    assert run_train(*_named(contest, *more), "--quiet") == 0
    err = capsys.readouterr().err
    assert "in several folds, so that scores are too good: p0" in err
    assert "warning: 1 image training a fold that validates a copy, so that scores are too good (the same bytes): train_000.png" in err


def test_a_run_may_be_called_as_the_ledger_is(copied: tuple[Path, list[str]]) -> None:
    root, arguments = copied
    (root / "runs/done").rename(root / "runs/ledger")
    assert run_inference(*arguments) == 0
    assert read(Path("submissions/ledger.csv"))["file"].tolist() == ["ledger-2.csv"]
    assert len(read(Path("submissions/ledger-2.csv"))) == 12


def test_a_submission_folder_that_cannot_be_is_told_before_predicting(
    trained: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken").write_text("a file")
    monkeypatch.setattr("modules.jobs.passes.predict", lambda *arguments: pytest.fail("predicted"))
    assert refusal(run_inference, [*trained[1], "inference.submission_path=taken"], capsys) == ["taken: File exists"]


def test_a_template_with_a_blank_header_is_filled(copied: tuple[Path, list[str]]) -> None:
    root, arguments = copied
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        path = root / "contest" / name
        path.write_text(path.read_text().replace("id,", ",", 1).replace("id\n", '""\n', 1))
    assert run_inference(*arguments) == 0
    assert Path("submissions/done.csv").read_text().splitlines()[0] in (",label", '"",label')


def test_a_damaged_run_is_one_line_and_hides_no_other(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    shutil.copytree(root / "runs/done", root / "runs/broken")
    for content in ("{}", "[]", "nonsense"):
        (root / "runs/broken/result.json").write_text(content)
        assert run_inference(*arguments) == 0
        assert len(refusal(run_inference, [*arguments, "inference.run=broken"], capsys)) == 1
    (root / "runs/broken/result.json").unlink()
    kept = (root / "runs/broken/folds.csv").read_bytes()
    (root / "runs/broken/folds.csv").write_bytes(
        kept.replace(b"train_000,0", b"train_000,1").replace(b"train_000,1", b"train_000,0", 1)[:-1]
    )
    lines = refusal(run_train, [*arguments, "--resume", "broken"], capsys)
    assert lines == [f"{root}/runs/broken/folds.csv: missing, or changed since this run started; start a new run"]
    (root / "runs/broken/environment.json").write_text("{}")
    assert "damaged: it has no run_id" in refusal(run_train, [*arguments, "--resume", "broken"], capsys)[0]


def test_predictions_of_a_fold_that_were_damaged_are_made_again(copied: tuple[Path, list[str]], trained: tuple[Path, list[str]]) -> None:
    root, arguments = copied
    (root / "runs/done/result.json").unlink()
    path = root / "runs/done/fold0/predictions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    assert run_train(*arguments, "--resume", "done", "--quiet") == 0
    assert digests(root / "runs/done") == digests(trained[0] / "runs/done")


def test_other_images_under_the_same_names_are_refused(copied: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, arguments = copied
    shutil.copy(root / "contest/train/train_001.png", root / "contest/train/train_000.png")
    lines = refusal(run_train, [*arguments, "--resume", "done", "hyper_params.epochs=5"], capsys)
    assert "ids, images, labels, groups or metadata in the training table have changed" in lines[-1]


@pytest.mark.parametrize("flags", [(), ("--check",)])
def test_batches_of_one_that_batchnorm_cannot_take_are_one_line(
    flags: tuple[str, ...], contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = refusal(run_train, [*_named(contest, "hyper_params.batch_size=1", "model.name=resnet18"), *flags], capsys)
    assert lines == [
        "override hyper_params.batch_size: BatchNorm cannot train on batches of one image of 32 x 32 here;"
        " use 2 or more, or a larger image_size"
    ]


def test_validation_and_test_images_go_through_valid_alone(contest: Path) -> None:
    """Inverted where they are validated and predicted, and not where they train: the colours then tell the wrong class."""
    more = ["augmentation.valid=InvertImg(p=1)", "hyper_params.epochs=4", "hyper_params.patience=0"]
    assert run_train(*_named(contest, "hyper_params.epochs=4", "settings.run_name=plain"), "--quiet") == 0
    assert run_train(*_named(contest, *more, "settings.run_name=inverted"), "--quiet") == 0
    plain, inverted = (Path("runs") / name / "fold0" for name in ("plain", "inverted"))
    assert digest_tensors(load_checkpoint(plain / "last.pt")["model"]) == digest_tensors(load_checkpoint(inverted / "last.pt")["model"])
    assert load_checkpoint(inverted / "best.pt")["preprocessing"]["valid"] == "InvertImg(p=1)"
    assert float(history(Path("runs/inverted"), 0)[-1]["score"]) < float(history(Path("runs/plain"), 0)[-1]["score"])
    assert run_inference(*_named(contest, "inference.run=inverted", f"inference.answers={contest / 'answers.csv'}")) == 0
    assert run_inference(*_named(contest, "inference.run=plain")) == 0
    right, wrong = read(Path("submissions/plain.csv")), read(Path("submissions/inverted.csv"))
    assert not right["label"].equals(wrong["label"])


def test_colours_that_would_be_lost_are_told(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "warning: the images are in colour, and data.channels = 1 makes them grey"
    assert run_train(*_named(contest, "data.channels=1"), "--check") == 0
    assert told in capsys.readouterr().err
    assert run_train(*_named(contest), "--check") == 0
    assert told not in capsys.readouterr().err
    for path in (contest / "train").glob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert run_train(*_named(contest, "data.channels=1"), "--check") == 0
    assert told not in capsys.readouterr().err


def test_the_metric_chooses_the_best_epoch_and_is_what_is_told(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["hyper_params.metric=log_loss", "hyper_params.epochs=4", "hyper_params.learning_rate=0.02", "settings.run_name=here"]
    assert run_train(*_named(contest, "model.name=test_resnet", *more)) == 0
    assert "CV      log_loss" in capsys.readouterr().out
    result = json.loads(Path("runs/here/result.json").read_text())
    scores = [[float(epoch["score"]) for epoch in history(Path("runs/here"), fold)] for fold in range(2)]
    assert result["folds"] == [pytest.approx(min(of_fold)) for of_fold in scores]
    assert result["best_epochs"] == [of_fold.index(min(of_fold)) + 1 for of_fold in scores]
    oof = read(Path("runs/here/oof.csv"))
    columns = [f"p:{name}" for name in ("cat", "dog", "eel")]
    assert result["oof"] == pytest.approx(log_loss(oof["target"], oof[columns].astype(float)), rel=1e-5)
    assert (result["metric"], result["greater_is_better"]) == ("log_loss", False)


def _named(contest: Path, *more: str) -> list[str]:
    """Arguments that train `contest` from an empty config.ini."""
    write_config(Path("config.ini"), "[settings]\n")
    return fast(contest, "data.test_csv=test.csv", *more)

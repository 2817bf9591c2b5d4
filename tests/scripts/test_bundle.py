"""look.py export and look.py bundle: what a run leaves for a life without Foldini, or without a network."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.compute.process import Process
from modules.config.reader import read_config
from modules.jobs.trained import open_trained, restore_member
from tests.making import CLASSES, make_contest, write_config
from tests.scripts.forked import run_elsewhere
from tests.scripts.running import known, make_runs, read, refusal, run_inference, run_look

PLAIN = Process(torch.device("cpu"), "float32", False, 0, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest that asks for probabilities, and the runs `one`, `two` (another image size) and `grey` (torchvision, one channel)."""
    root = tmp_path_factory.mktemp("made")
    grey = ("model.library=torchvision", "model.name=shufflenet_v2_x0_5", "data.channels=1", "hyper_params.epochs=1")
    one = ("model.name=test_resnet",)  # which is known also where there are no tests
    return make_runs(root, {"one": one, "two": (*one, "hyper_params.learning_rate=0.002", "data.image_size=40"), "grey": grey})


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    return folder


@pytest.mark.slow
def test_a_bundle_of_two_runs_predicts_offline_what_is_predicted_in_place(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an empty folder, with the network off, of a test set that nobody had seen when the bundle was made: to the byte."""
    options = ("inference.tta=hflip", "inference.ensemble=geometric", f"inference.answers={made / 'contest/answers.csv'}")
    assert run_inference(*known(made, *options, "inference.run=one,two")) == 0
    assert run_look("bundle", "one", "two", *known(made, *options)) == 0
    assert "one+two.zip: " in capsys.readouterr().out
    folder = unpacked(Path("one+two.zip"), tmp_path / "empty")
    later = make_contest(tmp_path / "later", train=15, test=31, size=44)
    shutil.rmtree(later / "train")
    (later / "train.csv").unlink()
    template = read(later / "sample_submission.csv")[["id"]].assign(**dict.fromkeys(CLASSES, 0))
    template.iloc[::-1].to_csv(later / "sample_submission.csv", index=False)
    done = run_elsewhere(folder / "inference.py", [f"settings.data_path={later}", "inference.output=final.csv", "--quiet"], folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("submission: submissions/one+two.csv, 31 rows")
    assert "cannot be measured here" not in done.stderr and "score against" not in done.stdout
    assert run_inference(*known(made, *options[:2], "inference.run=one,two", f"settings.data_path={later}")) == 0
    assert (folder / "submissions/final.csv").read_bytes() == Path("submissions/one+two-2.csv").read_bytes()
    manifest = json.loads((folder / "submissions/one+two.json").read_text())
    assert (manifest["tta"], manifest["ensemble"], len(manifest["members"])) == ("hflip", "geometric", 4)
    assert manifest["cv_score"] == json.loads(Path("submissions/one+two.json").read_text())["cv_score"]
    assert read(folder / "submissions/final.csv")["id"].tolist() == [f"test_{row:03d}" for row in range(30, -1, -1)]


@pytest.mark.slow
def test_a_config_of_another_contest_that_lies_here_is_not_in_the_way_of_a_bundle(made: Path) -> None:
    write_config(
        Path("config.ini"), f"[settings]\nlog_path = {made / 'runs'}\n[data]\nsource = digits\nimage_size = 99\n[model]\nname = vgg11\n"
    )
    assert run_look("bundle", "two", "inference.tta=hflip") == 0
    inside = unpacked(Path("two.zip"), Path("inside")) / "config.ini"
    config, _ = read_config([inside])
    assert (config.data.source, config.data.image_suffix, config.inference.tta, config.inference.run) == ("csv", ".png", "hflip", ("two",))


@pytest.mark.slow
def test_a_bundle_predicts_from_another_folder_by_the_line_of_its_readme(made: Path, tmp_path: Path) -> None:
    """As where the bundle lies in a folder that cannot be written to."""
    assert run_inference(*known(made, "inference.run=one")) == 0 and run_look("bundle", "one", *known(made)) == 0
    folder, working = unpacked(Path("one.zip"), tmp_path / "bundle"), tmp_path / "working"
    working.mkdir()
    (line,) = (line for line in (folder / "README.txt").read_text().splitlines() if "/this/folder/inference.py" in line)
    line = line.replace("/this/folder", str(folder)).replace("/where/the/test/is", str(made / "contest"))
    script, *arguments = line.split()[1:]
    done = run_elsewhere(Path(script), arguments, working)
    assert done.returncode == 0, done.stderr
    assert (working / "submissions/one.csv").read_bytes() == Path("submissions/one.csv").read_bytes()
    assert not (folder / "submissions").exists()


def test_a_bundle_holds_what_inference_reads_and_nothing_of_training(made: Path) -> None:
    assert run_look("bundle", "one", *known(made)) == 0
    with zipfile.ZipFile("one.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        ini, note = (archive.read(name).decode() for name in ("config.ini", "README.txt"))
    assert names == sorted(names)
    run = {"config.ini", "environment.json", "result.json", "oof.csv", "fold0/best.pt", "fold1/best.pt"}
    assert {name for name in names if name.startswith("runs/")} == {f"runs/one/{name}" for name in run}
    assert {name for name in names if "/" not in name} == {"README.txt", "config.ini", "inference.py", "requirements.txt"}
    assert "modules/jobs/inference.py" in names and not any("__pycache__" in name for name in names)
    assert str(made / "runs") not in ini and "answers =\n" in ini and "run = one\n" in ini
    assert "python inference.py settings.data_path=/where/the/test/is" in note


def test_the_same_bundle_is_the_same_file_and_none_is_overwritten(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run_look("bundle", *known(made, "inference.run=one")) == 0
        os.utime(made / "runs/one/result.json")
    assert Path("one.zip").read_bytes() == Path("one-2.zip").read_bytes()
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if ".zip" in line] == ["one.zip", "one-2.zip"]


def test_a_bundle_keeps_the_runs_own_options_and_takes_what_is_said_anew(made: Path) -> None:
    arguments = [str(made / "config.ini"), f"settings.log_path={made / 'runs'}", "inference.tta=vflip", "inference.output=submission.csv"]
    assert run_look("bundle", "one", *arguments) == 0
    config, _ = read_config([unpacked(Path("one.zip"), Path("inside")) / "config.ini"])
    assert (config.data.source, config.data.image_suffix, config.data.image_size.width) == ("csv", ".png", 32)
    assert (config.inference.tta, config.inference.output, config.inference.run) == ("vflip", "submission.csv", ("one",))
    assert (config.settings.data_path, config.settings.log_path, config.inference.answers) == ("data", "runs", None)


def test_a_run_that_cannot_be_bundled_is_one_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for look in ("bundle", "export"):
        assert refusal(run_look, [look, "onne", *known(made)], capsys)[0].startswith("no run 'onne' (did you mean one?)")
    assert not list(Path().glob("*.zip"))


@pytest.mark.parametrize("name", ["one", "grey"])
def test_the_library_alone_loads_an_export_and_gives_the_runs_logits(name: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed line is run as it stands; no part of it knows Foldini."""
    assert run_look("export", name, *known(made)) == 0
    lines = capsys.readouterr().out.splitlines()
    folder = made / "runs" / name / "export"
    assert lines[:3] == [str(folder / "fold0.pth"), str(folder / "fold1.pth"), str(folder / "model.json")]
    assert "modules" not in lines[3] and lines[3].startswith("import torch, ")
    (run,) = open_trained(read_config([], [f"settings.log_path={made / 'runs'}", f"inference.run={name}"])[0])
    channels = run.preprocessing.channels
    images = torch.rand(3, channels, 32, 32, generator=torch.Generator().manual_seed(1))
    found: dict[str, Any] = {}
    exec(lines[3], found)
    for number, checkpoint in enumerate(run.checkpoints):
        state = torch.load(folder / f"fold{number}.pth", weights_only=True)
        assert all(type(tensor) is torch.Tensor and tensor.is_contiguous() for tensor in state.values())
        assert list(state) == list(checkpoint["model"])
        model = found["model"]
        model.load_state_dict(state)
        with torch.no_grad():
            assert torch.equal(model(images), restore_member(run, checkpoint, PLAIN).eval()(images))
    about = json.loads((folder / "model.json").read_text())
    assert (about["classes"], about["channels"], about["image_size"]) == (list(CLASSES), channels, [32, 32])
    assert about["library_alone_builds_it"] and about["mean"] == [0.5] * channels and about["files"] == ["fold0.pth", "fold1.pth"]


def test_the_exports_description_is_enough_to_predict_with_timm_and_pillow(made: Path) -> None:
    import timm
    from PIL import Image

    assert run_look("export", "one", *known(made)) == 0 and run_inference(*known(made, "inference.run=one")) == 0
    folder = made / "runs/one/export"
    about = json.loads((folder / "model.json").read_text())
    written = read(Path("submissions/one.csv"))
    paths = [made / "contest/test" / f"{name}.png" for name in written["id"]]
    images = np.stack([np.array(Image.open(path).resize(about["image_size"][::-1], Image.Resampling.BILINEAR)) for path in paths])
    batch = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - about["mean"][0]) / about["std"][0]
    total = torch.zeros(len(paths), len(CLASSES))
    for file in about["files"]:
        model = timm.create_model(about["name"], **about["arguments"]).eval()
        model.load_state_dict(torch.load(folder / file, weights_only=True))
        with torch.no_grad():
            total += model(batch).softmax(1) / len(about["files"])
    np.testing.assert_allclose(written[about["classes"]].astype(float).to_numpy(), total.numpy(), atol=0.02)


def test_a_model_that_the_library_alone_does_not_build_is_told(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modules.jobs import exporting

    def otherwise(*arguments: Any) -> torch.nn.Module:
        return torch.nn.Sequential(restore_member(*arguments), torch.nn.Softmax(dim=1))

    monkeypatch.setattr(exporting, "restore_member", otherwise)
    assert run_look("export", "one", *known(made)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "note: timm alone does not build this model: its layers are others; the line in model.json is only a beginning"
    assert not json.loads((made / "runs/one/export/model.json").read_text())["library_alone_builds_it"]


def test_an_export_asks_nothing_of_the_ini_but_the_run(made: Path) -> None:
    """config.ini may be about another contest by then."""
    write_config(Path("config.ini"), "[data]\nsource = csv\nimage_size = 64, 96\nchannels = 1\n")
    assert run_look("export", "two", f"settings.log_path={made / 'runs'}", "--quiet") == 0
    assert json.loads((made / "runs/two/export/model.json").read_text())["image_size"] == [40, 40]

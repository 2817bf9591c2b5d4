"""Reports of whole runs: written at the end of training, made again, and honest about what is not there any more."""

from __future__ import annotations

import base64
import json
import re
import shutil
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.compute import storage
from tests.making import fast, make_contest, write_config
from tests.scripts.running import read, refusal, run_look, run_train
from tests.some import some

SHOWN = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"')


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a contest and a finished run, and what its training printed; a small part of the labels is wrong."""
    root = tmp_path_factory.mktemp("reports")
    contest = make_contest(root / "contest")
    table = read(contest / "train.csv")
    table.loc[table.index % 7 == 0, "label"] = "eel"
    table.to_csv(contest / "train.csv", index=False)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.chdir(root)
        write_config(Path("config.ini"), "[settings]\n")
        assert run_train(*fast(Path("contest"), "logging.plots=true", "settings.run_name=a", "split.folds=3"), "--quiet") == 0
    return root, out.getvalue()


@pytest.fixture
def folder(made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current folder."""
    copy = tmp_path / "copy"
    shutil.copytree(made[0], copy)
    monkeypatch.chdir(copy)
    return copy


NO_GRADIENTS = """
from torch import nn
import torch


class Model(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        return self.head(torch.from_numpy(images.numpy().mean((2, 3))))
"""


def mistakes(page: str) -> dict[str, list[np.ndarray]]:
    """By the image's id: the image, and the evidence where there is some."""
    found: dict[str, list[np.ndarray]] = {}
    for content, name in SHOWN.findall(page):
        found.setdefault(name, []).append(np.asarray(Image.open(BytesIO(base64.b64decode(content))).convert("RGB")))
    return found


@pytest.mark.usefixtures("folder")
def test_a_run_ends_with_its_report_which_shows_its_own_mistakes(made: tuple[Path, str]) -> None:
    """Against oof.csv and the images in their files."""
    assert made[1].splitlines()[-2:] == ["report: runs/a/report.html", "run: runs/a"]
    page = Path("runs/a/report.html").read_text(encoding="utf-8")
    oof = read(Path("runs/a/oof.csv"))
    wrong = oof[oof["target"] != oof["prediction"]]
    sure = wrong[[name for name in oof.columns if name.startswith("p:")]].astype(float).max(axis=1)
    part = page[page.index('id="mistakes"') :]
    part = part[: part.index("</section>")]
    shown = mistakes(part)
    worst = wrong["id"][sure.sort_values(ascending=False, kind="stable").index].tolist()[:12]
    assert list(shown) == worst and len(worst) > 2
    for name, (image, evidence) in shown.items():
        expected = np.asarray(Image.open(f"contest/train/{name}.png").resize((32, 32), Image.Resampling.BILINEAR))
        assert np.abs(image.astype(int) - expected.astype(int)).mean() < 6, "it is that image, as the model saw it"
        assert evidence.shape == image.shape and not np.array_equal(evidence, image)
        row = wrong[wrong["id"] == name].iloc[0]
        assert re.search(rf"<b>{name}</b><br>is {row['target']} \(\d+%\)<br>told {row['prediction']} \(\d+%\)", part)
    suspects = [name for name in read(Path("runs/a/suspects.csv"))["id"] if name not in shown]
    assert list(mistakes(page.partition('id="labels"')[2])) == suspects[:12], "each picture once"


@pytest.mark.usefixtures("folder")
def test_it_is_made_again_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("runs/a/report.html")
    before = path.read_bytes()
    path.unlink()
    assert run_look("report", "a") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "report: runs/a/report.html"
    assert path.read_bytes() == before
    path.unlink()
    assert run_look("report") == 0 and path.read_bytes() == before, "without a name, of the latest run"


def test_plots_are_not_drawn_where_nobody_wants_them(contest: Path) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    assert run_train(*fast(contest, "settings.run_name=a", "hyper_params.epochs=1", "logging.plots=false"), "--quiet") == 0
    assert Path("runs/a/result.json").is_file() and not Path("runs/a/report.html").exists()


def test_without_the_images_it_says_so_and_has_all_else(folder: Path) -> None:
    shutil.rmtree(folder / "contest/train")
    assert run_look("report", "a") == 0
    page = Path("runs/a/report.html").read_text(encoding="utf-8")
    assert "There are no pictures: " in page and 'id="mistakes"' not in page and 'id="learning"' in page


@pytest.mark.parametrize("damaged", ["oof.csv", "result.json", "fold1/history.csv", "suspects.csv", "fold1/best.pt"])
@pytest.mark.usefixtures("folder")
def test_what_is_damaged_is_one_line(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("runs/a/report.html").read_bytes()
    path = Path("runs/a", damaged)
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2] + b"\xff\n,")
    lines = refusal(run_look, ["report", "a"], capsys)
    assert len(lines) == 1 and str(path) in lines[0]
    assert Path("runs/a/report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "column", "value"),
    [("oof.csv", "p:cat", "nan"), ("oof.csv", "p:cat", "7"), ("oof.csv", "fold", "7"), ("fold1/history.csv", "seconds", "nan")],
)
@pytest.mark.usefixtures("folder")
def test_what_was_edited_to_nonsense_is_one_line(file: str, column: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("runs/a", file)
    table = read(path)
    table[column] = value
    table.to_csv(path, index=False)
    (line,) = refusal(run_look, ["report", "a"], capsys)
    assert line.startswith(f"{path}")


@pytest.mark.usefixtures("folder")
def test_what_older_runs_do_not_know_is_left_out() -> None:
    result = json.loads(Path("runs/a/result.json").read_text())
    Path("runs/a/result.json").write_text(json.dumps({**result, "memory": None}))
    assert run_look("report", "a") == 0
    assert "memory at most" not in Path("runs/a/report.html").read_text(encoding="utf-8")


def test_a_model_that_takes_no_gradients_has_pictures_without_evidence(contest: Path) -> None:
    Path("mine.py").write_text(NO_GRADIENTS, encoding="utf-8")
    write_config(Path("config.ini"), "[settings]\n")
    more = ("logging.plots=true", "settings.run_name=a", "hyper_params.epochs=1", "model.name=mine:Model")
    assert run_train(*fast(contest, *more), "--quiet") == 0
    page = Path("runs/a/report.html").read_text(encoding="utf-8")
    assert "Where the models found what they say cannot be shown: RuntimeError: " in page and 'id="mistakes"' in page


@pytest.mark.parametrize("monitor", [(), ("logging.tensorboard=true",)])
def test_a_refit_has_a_report_too(monitor: tuple[str, ...], contest: Path) -> None:
    write_config(Path("config.ini"), "[settings]\n")
    more = ("logging.plots=true", "settings.run_name=a", "hyper_params.epochs=1", "split.method=none", *monitor)
    assert run_train(*fast(contest, *more), "--quiet") == 0
    assert "nothing was validated" in Path("runs/a/report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("folder")
def test_runs_that_are_not_there_or_not_finished_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = refusal(run_look, ["report", "b"], capsys)
    assert "runs/b" in line or "'b'" in line
    Path("runs/a/result.json").unlink()
    (line,) = refusal(run_look, ["report", "a"], capsys)
    assert "runs/a" in line


def test_a_report_that_cannot_be_written_costs_the_run_nothing(
    contest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        if path.name == "report.html":
            raise OSError(28, "No space left on device", str(path))
        storage.write_text(path, text)

    monkeypatch.setattr("modules.jobs.report.write_text", full)
    write_config(Path("config.ini"), "[settings]\n")
    assert run_train(*fast(contest, "logging.plots=true", "settings.run_name=a", "hyper_params.epochs=1"), "--quiet") == 0
    assert "warning: the report is not written: " in capsys.readouterr().out
    assert Path("runs/a/result.json").is_file()


@pytest.mark.parametrize(
    ("task", "more"),
    some(
        [
            ("multilabel", ["data.label_columns=cat, dog"]),
            ("regression", ["data.label_columns=age"]),
            ("ordinal", ["data.label_columns=grade"]),
            ("multioutput", ["data.label_columns=label, person"]),
            ("binary", ["data.label_columns=cat"]),
            ("multiclass", ["split.method=none"]),
            ("multiclass", ["data.channels=1", "model.name=test_vit", "inference.tta=hflip"]),
            ("multiclass", ["split.method=holdout", "settings.debug=true"]),
            ("multiclass", ["model.freeze=backbone", "model.feature_cache=on"]),
        ],
        every=4,
    ),
)
def test_every_task_and_way_of_splitting_has_its_report(task: str, more: list[str], tmp_path: Path) -> None:
    contest = make_contest(tmp_path / "contest", train=36, groups=6)
    table = read(contest / "train.csv")
    columns = {"cat": (table["label"] == "cat").astype(int), "dog": (table.index % 2 == 0).astype(int), "age": table.index * 1.5}
    table.assign(**columns, grade=table["label"].map({"cat": 0, "dog": 1, "eel": 2})).to_csv(contest / "train.csv", index=False)
    write_config(Path("config.ini"), "[settings]\n")
    arguments = fast(contest, "logging.plots=true", "settings.run_name=a", f"data.task={task}", "hyper_params.epochs=1", *more)
    assert run_train(*arguments, "--quiet") == 0
    page = Path("runs/a/report.html").read_text(encoding="utf-8")
    assert "There are no pictures" not in page
    assert ('id="mistakes"' in page) is ("split.method=none" not in more)
    assert 'id="learning"' in page
    assert ("shown: what speaks " in page) is (task in ("multilabel", "multioutput"))

"""Whole jobs with decoded pixels on the disk come to what they come to without, and decode each image once."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.data.images import ImageFiles
from tests.making import fast
from tests.scripts.running import digests, known, make_runs, read, refusal, run_inference, run_train

CROPS = ("augmentation.preset=heavy", "data.cache_margin=1.5")


def predict(root: Path, run: str, *more: str) -> bytes:
    arguments = known(root, f"inference.run={run}", f"inference.submission_path={root / 'submissions'}", "inference.output=out.csv", *more)
    assert run_inference(*arguments, "--quiet") == 0
    return (root / "submissions/out.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        CROPS,
        ("data.resize=pad", "augmentation.preset=light"),
    ],
)
def test_a_run_with_kept_pixels_is_the_run_without(tmp_path: Path, more: tuple[str, ...], decoded: list[str]) -> None:
    make_runs(tmp_path, {"off": (*more, "data.cache=off")})
    without = len(decoded)
    decoded.clear()
    arguments = fast(tmp_path / "contest", f"settings.log_path={tmp_path / 'runs'}", *more, "--quiet")
    assert run_train(str(tmp_path / "config.ini"), *arguments, "settings.run_name=auto") == 0
    assert sorted(decoded) == sorted(set(decoded)) and len(decoded) == 60 < without
    decoded.clear()
    assert run_train(str(tmp_path / "config.ini"), *arguments, "settings.run_name=again") == 0
    assert decoded == []
    found = [digests(tmp_path / "runs" / name) for name in ("off", "auto", "again")]
    assert found[0] == found[1] == found[2]
    decoded.clear()
    submissions = [predict(tmp_path, run, f"data.cache={cache}") for run, cache in (("off", "off"), ("auto", "auto"))]
    assert len(decoded) == 2 * 12
    submissions += [predict(tmp_path, "auto")]
    assert len(decoded) == 2 * 12 and len(set(submissions)) == 1


def test_the_margin_gives_crops_their_detail_and_plain_pipelines_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_runs(tmp_path, {})
    arguments = [str(tmp_path / "config.ini"), *fast(tmp_path / "contest"), "--check"]
    told = {}
    for preset in ("light", "medium"):
        assert run_train(*arguments, f"augmentation.preset={preset}", "data.cache_margin=1.5") == 0
        told[preset] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pixels:")]
    assert told["light"] == ["pixels: 60 images to decode, once, to 32 x 32: 184 kB in .cache"]
    assert told["medium"] == ["pixels: 60 images to decode, once, to 48 x 48: 415 kB in .cache"]
    assert not Path(".cache/pixels").exists()


def test_a_margin_changes_what_crops_see_and_is_carried_to_inference(tmp_path: Path) -> None:
    """Fine stripes: a crop of the larger image still has them."""
    make_runs(tmp_path, {})
    rng = np.random.default_rng(0)
    for path in sorted((tmp_path / "contest").glob("t*/*.png")):
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)).save(path)
    found = []
    for margin in (1, 1.5):
        name = f"margin{margin}"
        more = (f"data.cache_margin={margin}", "augmentation.preset=medium", f"settings.run_name={name}")
        arguments = fast(tmp_path / "contest", f"settings.log_path={tmp_path / 'runs'}", *more)
        assert run_train(str(tmp_path / "config.ini"), *arguments, "--quiet") == 0
        found.append((digests(tmp_path / "runs" / name)["oof"], predict(tmp_path, name, "data.cache_margin=4")))
    assert found[0][0] != found[1][0] and found[0][1] != found[1][1]


def test_an_image_that_changes_between_runs_is_decoded_again(tmp_path: Path, decoded: list[str]) -> None:
    make_runs(tmp_path, {"first": ()})
    path = tmp_path / "contest/train/train_007.png"
    Image.fromarray(np.zeros((20, 20, 3), dtype=np.uint8)).save(path)
    decoded.clear()
    arguments = fast(tmp_path / "contest", f"settings.log_path={tmp_path / 'runs'}", "--quiet")
    assert run_train(str(tmp_path / "config.ini"), *arguments, "settings.run_name=second") == 0
    assert decoded == ["train_007.png"]
    assert run_train(str(tmp_path / "config.ini"), *arguments, "settings.run_name=plain", "data.cache=off") == 0
    first, second, plain = (digests(tmp_path / "runs" / name) for name in ("first", "second", "plain"))
    assert second == plain != first


def test_all_images_that_cannot_be_decoded_are_named_before_the_first_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_runs(tmp_path, {})
    for name in ("train_003", "train_040"):
        path = tmp_path / f"contest/train/{name}.png"
        path.write_bytes(path.read_bytes()[:-200])
    lines = refusal(run_train, [str(tmp_path / "config.ini"), *fast(tmp_path / "contest", f"settings.log_path={tmp_path}")], capsys)
    assert [line.partition(".png: ")[0].rpartition("/")[2] for line in lines] == ["train_003", "train_040"]
    assert all("damaged" in line for line in lines)


def test_ctrl_c_while_decoding_leaves_what_was_decoded_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    make_runs(tmp_path, {"whole": ()})
    shutil.rmtree(".cache")
    whole = ImageFiles.read

    def interrupted(images: ImageFiles, row: int, channels: int) -> Any:
        if row == 30:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(images, row, channels)

    arguments = [str(tmp_path / "config.ini"), *fast(tmp_path / "contest", f"settings.log_path={tmp_path / 'runs'}", "--quiet")]
    with monkeypatch.context() as patched:
        patched.setattr(ImageFiles, "read", interrupted)
        assert run_train(*arguments, "settings.run_name=stopped") == 130
    decoded.clear()
    assert run_train(*arguments, "--resume", str(tmp_path / "runs/stopped")) == 0
    assert 0 < len(decoded) < 60
    assert digests(tmp_path / "runs/stopped") == digests(tmp_path / "runs/whole")


def test_a_disk_that_cannot_be_written_to_trains_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_runs(tmp_path, {"whole": ("data.cache=off",)})
    Path("no_folder").write_text("")
    arguments = fast(tmp_path / "contest", f"settings.log_path={tmp_path / 'runs'}", "settings.cache_path=no_folder")
    capsys.readouterr()
    assert run_train(str(tmp_path / "config.ini"), *arguments, "settings.run_name=other", "--quiet") == 0
    assert "pixels: decoded in each of 4 passes: settings.cache_path, no_folder, cannot be written to" in capsys.readouterr().err
    assert digests(tmp_path / "runs/other") == digests(tmp_path / "runs/whole")


def test_pseudo_labelled_images_are_those_that_inference_decoded(tmp_path: Path, decoded: list[str]) -> None:
    make_runs(tmp_path, {"first": ()})
    predict(tmp_path, "first")
    answers = read(tmp_path / "contest/answers.csv").assign(confidence="1.0")
    answers.to_csv(tmp_path / "pseudo.csv", index=False)
    decoded.clear()
    more = (f"data.pseudo_labels={tmp_path / 'pseudo.csv'}", "settings.run_name=second", f"settings.log_path={tmp_path / 'runs'}")
    assert run_train(str(tmp_path / "config.ini"), *fast(tmp_path / "contest", *more), "--quiet") == 0
    assert decoded == []

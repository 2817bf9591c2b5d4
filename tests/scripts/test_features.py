"""Runs that learn from stored features learn what they would from the images, in fewer passes over them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from modules.data.task import classification
from modules.jobs import restoring
from modules.models.cutting import Trunk
from modules.prediction.predictions import load_predictions
from modules.reporting.sinks import Silence
from modules.runs.checkpoint import load_checkpoint
from tests.making import CLASSES, fast
from tests.scripts.running import digests, history, known, make_runs, read, refusal, run_inference, run_train
from tests.some import some
from tests.tiny import TINY

EXACT = ("model.feature_precision=float32", "augmentation.preset=none")
DEEP = "model.freeze=conv1, bn1, layer1, layer2, layer3"
WAYS = {
    "head": (("model.freeze=backbone",), [True]),
    "layer4": ((DEEP, "model.ema_decay=0.9"), [True]),
    "probe": (("hyper_params.probe_epochs=2", "hyper_params.epochs=1"), [True, False]),
    "gradual": (("model.freeze=backbone", "model.unfreeze=2: layer4, 3: all", "hyper_params.epochs=3"), [True, True, False]),
}
FROZEN = {"head": "fc.", "layer4": ("layer4.", "fc.")}  # what trains, and nothing else


def chosen(run: Path) -> list[bool]:
    return json.loads((run / "environment.json").read_text())["features"]  # type: ignore[no-any-return]


def model_of(run: Path, fold: int, name: str = "best.pt") -> dict[str, torch.Tensor]:
    return load_checkpoint(run / f"fold{fold}" / name)["model"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("way", some(WAYS))
def test_what_is_learnt_from_exact_features_is_what_images_teach(tmp_path: Path, way: str) -> None:
    more, expected = WAYS[way]
    more = (*more, *EXACT, "hyper_params.optimizer=sgd", "hyper_params.learning_rate=0.05", "inference.tta=hflip", "split.train_folds=0")
    make_runs(tmp_path, {"cached": (*more, "model.feature_cache=on"), "plain": (*more, "model.feature_cache=off")})
    cached, plain = tmp_path / "runs/cached", tmp_path / "runs/plain"
    assert chosen(cached) == expected and not any(chosen(plain))
    for name in ("best.pt", "last.pt"):
        one, other = model_of(cached, 0, name), model_of(plain, 0, name)
        for key, tensor in one.items():
            torch.testing.assert_close(tensor, other[key], rtol=1e-3, atol=1e-5, msg=f"{name} {key}")
            if way in FROZEN:
                assert torch.equal(tensor, other[key]) or key.startswith(FROZEN[way]), key
    for table in ("predictions.csv", "predictions.none.csv"):
        numbers = [
            load_predictions(run / "fold0" / table, classification("label", ("cat", "dog", "eel"))).values for run in (cached, plain)
        ]
        np.testing.assert_allclose(numbers[0], numbers[1], atol=1e-4)
    for one_epoch, other_epoch in zip(history(cached, 0), history(plain, 0), strict=True):
        for column in ("train_loss", "valid_loss", "score", "learning_rate", "trained"):
            assert float(one_epoch[column]) == pytest.approx(float(other_epoch[column]), rel=1e-3), column


def weights_file(folder: Path) -> str:
    """As pretrained weights, which all folds begin with; without a file each fold's are random, and its own."""
    torch.manual_seed(5)
    torch.save(timm.create_model(TINY, num_classes=9).state_dict(), folder / "weights.pt")
    return f"model.pretrained={folder / 'weights.pt'}"


def test_each_image_is_decoded_once_for_all_folds_epochs_and_runs(tmp_path: Path, decoded: list[str]) -> None:
    more = ("model.freeze=backbone", weights_file(tmp_path))
    root = make_runs(tmp_path, {"first": more})
    assert len(decoded) == len(set(decoded)) == 60
    decoded.clear()
    again = ("settings.run_name=again", f"settings.log_path={root / 'runs'}", "hyper_params.learning_rate=0.02", "split.folds=3")
    assert run_train(str(root / "config.ini"), *fast(root / "contest", *more, *again), "--quiet") == 0
    assert decoded == [] and chosen(root / "runs/again") == [True]


@pytest.mark.parametrize(("shared", "passes"), [(True, 1), (False, 2)])
def test_what_is_told_of_passes_is_what_is_done(
    tmp_path: Path, shared: bool, passes: int, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Folds that begin with random weights each have a trunk of their own."""
    weights = weights_file(tmp_path) if shared else "model.pretrained=false"
    root = make_runs(tmp_path, {"told": ("model.freeze=backbone", "settings.cache_path=kept", weights)})
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("features: "))
    assert len(decoded) == passes * 60 and chosen(root / "runs/told") == [True]
    many = "one pass" if passes == 1 else f"{passes} passes"
    size = sum(path.stat().st_size for path in Path("kept").rglob("rows.bin"))
    assert size == passes * 60 * 96 * 2
    own = "" if shared else "; what is frozen is another network in each fold"
    assert line.endswith(f"{many} over 60 images in place of 4, and {round(size / 1000)} kB in kept{own}")


def test_stored_views_are_learnt_from_and_said(tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    more = ("model.freeze=backbone", "model.feature_views=3", "augmentation.preset=heavy", "hyper_params.epochs=4", "split.train_folds=0")
    make_runs(tmp_path, {"views": more})
    assert chosen(tmp_path / "runs/views") == [True]
    assert len(decoded) == 30 * 3 + 30  # the training half thrice, the validated one as it is
    assert "; 3 augmented views of each, the same for all folds and epochs\n" in capsys.readouterr().err


@pytest.mark.slow
def test_stopped_in_a_phase_that_learns_from_features_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the features are gone by then."""
    more = (*WAYS["gradual"][0], "augmentation.preset=heavy", "model.feature_views=2", "model.dropout=0.3", "split.train_folds=0")
    more = (*more, "model.feature_cache=on")
    root = make_runs(tmp_path, {"whole": more})
    for number, (epoch, gone) in enumerate(((1, False), (2, True), (3, False))):
        name = f"stopped{number}"
        with monkeypatch.context() as patched:
            patched.setattr(Silence, "step", stop_at(epoch, patched))
            run_stopped(root, name, more)
        assert len(history(root / "runs" / name, 0)) == epoch - 1 if epoch > 1 else True
        if gone:
            shutil.rmtree(".cache/features")
        assert run_train(str(root / "config.ini"), f"settings.log_path={root / 'runs'}", "--resume", name, "--quiet") == 0
        assert digests(root / "runs" / name) == digests(root / "runs/whole")


def run_stopped(root: Path, name: str, more: tuple[str, ...]) -> None:
    arguments = fast(root / "contest", f"settings.log_path={root / 'runs'}", f"settings.run_name={name}", *more)
    assert run_train(str(root / "config.ini"), *arguments, "--quiet") == 130


def stop_at(epoch: int, patched: pytest.MonkeyPatch) -> Callable[..., None]:
    """A `step` for Silence that interrupts its own process at the second step of that epoch."""
    at = [0, 0]

    def start_epoch(sink: object, fold: int, number: int, epochs: int, steps: int) -> None:
        at[:] = [number, 0]

    def step(sink: object, loss: Callable[[], float]) -> None:
        at[1] += 1
        if at == [epoch, 2]:
            os.kill(os.getpid(), signal.SIGINT)

    patched.setattr(Silence, "start_epoch", start_epoch)
    return step


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two folds that learnt from features, head and layer4, and one that trained all."""
    root = tmp_path_factory.mktemp("features")
    cache = f"settings.cache_path={root / 'cache'}"
    exact = (*EXACT, cache, "hyper_params.epochs=1")
    exact = (*exact, weights_file(root))
    return make_runs(root, {"head": (*exact, "model.freeze=backbone"), "deep": (*exact, DEEP), "free": (cache, "hyper_params.epochs=1")})


def submitted(root: Path, name: str, *more: str) -> np.ndarray:
    folder = Path("sent") / name
    assert run_inference(*known(root, f"settings.cache_path={root / 'cache'}", f"inference.submission_path={folder}", *more)) == 0
    (file,) = (path for path in folder.glob("*.csv") if path.name != "ledger.csv")
    return read(file)[list(CLASSES)].astype(float).to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("names", ["head", "deep", "head, deep, free"])
def test_inference_from_features_is_that_from_images_and_decodes_once(runs: Path, names: str, decoded: list[str]) -> None:
    more = (f"inference.run={names}", "inference.tta=hflip")
    shutil.rmtree(runs / "cache")
    from_features = submitted(runs, "features", *more)
    free = "free" in names
    of_test = [name for name in decoded if name.startswith("test_")]
    stored = sum(name in names for name in ("head", "deep"))
    assert len(of_test) == 12 * (2 * stored + free)  # once a view for each trunk, and once for all others
    decoded.clear()
    np.testing.assert_array_equal(submitted(runs, "again", *more), from_features)
    assert decoded == []
    from_images = submitted(runs, "images", *more, "model.feature_cache=off")
    assert decoded.count("test_000.png") == (not free)  # else its pixels are kept already
    np.testing.assert_allclose(from_features, from_images, atol=1e-5)


def test_members_with_one_trunk_call_it_once_on_images_too(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    whole = Trunk.forward

    def counted(trunk: Trunk, images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        return whole(trunk, images)

    expected = submitted(runs, "alone", "inference.run=head", "model.feature_cache=off", "inference.batch_size=12")
    monkeypatch.setattr(Trunk, "forward", counted)
    found = submitted(runs, "two", "inference.run=head", "model.feature_cache=off", "inference.batch_size=12")
    assert calls.count(12) == 1  # others are of the few images that cutting is tried with
    np.testing.assert_array_equal(found, expected)


def test_a_test_image_that_changed_is_predicted_anew(runs: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(runs, root)
    first = submitted(root, "before", "inference.run=head")
    path = root / "contest/test/test_003.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    second = submitted(root, "after", "inference.run=head")
    assert [row for row in range(12) if not np.array_equal(first[row], second[row])] == [3]
    np.testing.assert_allclose(second, submitted(root, "images", "inference.run=head", "model.feature_cache=off"), atol=1e-5)


def test_a_frozen_model_that_is_alone_and_learnt_from_images_is_not_cut_to_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two share a trunk; for one there is nothing to share, and to cut it takes several forward passes."""
    more = ("model.freeze=backbone", "model.feature_cache=off", "hyper_params.epochs=1")
    root = make_runs(tmp_path, {"one": (*more, "split.train_folds=0"), "two": (*more, "model.pretrained=false")})
    calls: list[str] = []
    cut = restoring.cut_where
    monkeypatch.setattr(restoring, "cut_where", lambda *arguments: calls.append("cut") or cut(*arguments))
    submitted(root, "one", "inference.run=one")
    assert calls == []
    submitted(root, "two", "inference.run=two")
    assert calls == ["cut"]


def test_on_says_why_it_cannot_be_done_and_auto_goes_on_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("model.freeze=backbone", "settings.cache_limit=0.000001", "hyper_params.epochs=1", "split.train_folds=0")
    root = make_runs(tmp_path, {"auto": more})
    reason = "12 kB are more than the 1 kB that settings.cache_limit leaves"
    assert f"features are not stored: {reason}" in capsys.readouterr().err.splitlines()
    assert chosen(root / "runs/auto") == [False] and not Path(".cache").exists()
    arguments = [str(root / "config.ini"), *fast(root / "contest", *more, "settings.run_name=on", "model.feature_cache=on"), "--quiet"]
    (line,) = refusal(run_train, [*arguments, f"settings.log_path={root / 'runs'}"], capsys)
    assert f"features cannot be stored: {reason}; use auto" in line and not (root / "runs/on").exists()

"""`[model] head = append` from training to a submission, a bundle and the library alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.config.reader import read_config
from modules.jobs.preparation import prepare
from modules.jobs.trained import open_trained, restore_member
from modules.models.build import Network
from modules.reporting.sinks import Silence
from modules.runs.checkpoint import load_checkpoint
from modules.training.parts import evaluate, make_network, valid_batches
from tests.digests import digest_tensors
from tests.making import CLASSES, fast, make_contest, write_config
from tests.scripts.forked import run_elsewhere
from tests.scripts.running import digests, known, read, refusal, run_inference, run_look, run_train
from tests.scripts.test_bundle import PLAIN, unpacked

ADDED = ("appended.weight", "appended.bias")
MODELS = {
    "vit": ("model.name=test_vit", "model.dropout=0.2", "model.ema_decay=0.9", "hyper_params.probe_epochs=1"),
    "grey": ("model.library=torchvision", "model.name=shufflenet_v2_x0_5", "data.channels=1", "model.freeze=backbone"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contest and the runs `vit` (everything trains, after a probe) and `grey` (the appended layer alone trains)."""
    root = tmp_path_factory.mktemp("made")
    make_contest(root / "contest")
    config = write_config(root / "config.ini", "[settings]\n")
    for name in MODELS:
        assert run_train(str(config), *trained(root, name), f"settings.run_name={name}", "--quiet") == 0
    return root


def trained(root: Path, name: str, *more: str) -> list[str]:
    return fast(root / "contest", f"settings.log_path={root / 'runs'}", "model.head=append", *MODELS[name], *more)


def state_of(root: Path, run: str, number: int = 0, file: str = "best.pt") -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(root / "runs" / run / f"fold{number}" / file)["model"])


def without_added(state: dict[str, torch.Tensor]) -> dict[str, str]:
    return digest_tensors({key: tensor for key, tensor in state.items() if key not in ADDED})


def test_a_frozen_network_is_to_the_end_what_it_began_with_and_the_appended_layer_learns(made: Path) -> None:
    plan = prepare(read_config([], trained(made, "grey"))[0])
    for fold in plan.folds:
        began, ended = dict(make_network(plan, fold.number, False).module.state_dict()), state_of(made, "grey", fold.number, "last.pt")
        assert without_added(began) == without_added(ended) and began["fc.weight"].shape == (1000, 1024)
        assert not any(torch.equal(began[key], ended[key]) for key in ADDED)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_the_library_alone_loads_an_export_and_gives_the_runs_logits(name: str, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed line is run as it stands, and with the other fold's file; no part of it knows Foldini."""
    assert run_look("export", name, *known(made)) == 0
    *files, about_file, line = capsys.readouterr().out.splitlines()
    assert "modules" not in line and line.startswith("import torch, ")
    (run,) = open_trained(read_config([], [f"settings.log_path={made / 'runs'}", f"inference.run={name}"])[0])
    images = torch.rand(3, run.preprocessing.channels, 32, 32, generator=torch.Generator().manual_seed(1))
    for checkpoint, file in zip(run.checkpoints, files, strict=True):
        found: dict[str, Any] = {}
        exec(line.replace(files[0], file), found)
        with torch.no_grad():
            assert torch.equal(found["model"](images), restore_member(run, checkpoint, PLAIN).eval()(images))
    about = json.loads(Path(about_file).read_text())
    assert about["library_alone_builds_it"] and about["head"] == "append"
    assert "num_classes" not in about["arguments"] and "torch.nn.Sequential(model, model.appended)" in about["load"]


def test_inference_rebuilds_the_appended_layer(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Brought back, fold 0's model says of the rows that it validated what it said of them then."""
    name = "vit"
    own = read(made / f"runs/{name}/fold0/predictions.csv")
    (run,) = open_trained(read_config([], [f"settings.log_path={made / 'runs'}", f"inference.run={name}"])[0])
    plan = prepare(read_config([], trained(made, name))[0])
    module = restore_member(run, run.checkpoints[0], PLAIN)
    (fold,) = (fold for fold in plan.folds if fold.number == 0)
    outcome = evaluate(plan, Network(module, ("appended",)), valid_batches(plan, fold), fold, "none")
    expected = own[[f"p:{label}" for label in CLASSES]].astype(float).to_numpy()
    np.testing.assert_allclose(outcome.values[0], expected, atol=1e-6)
    assert run_inference(*known(made, f"inference.run={name}", f"inference.answers={made / 'contest/answers.csv'}")) == 0
    assert "score against the answers: accuracy " in capsys.readouterr().out


@pytest.mark.slow
def test_a_bundle_predicts_offline_what_is_predicted_in_place(made: Path, tmp_path: Path) -> None:
    assert run_inference(*known(made, "inference.run=vit,grey")) == 0
    assert run_look("bundle", "vit", "grey", *known(made)) == 0
    folder = unpacked(Path("vit+grey.zip"), tmp_path / "empty")
    done = run_elsewhere(folder / "inference.py", [f"settings.data_path={made / 'contest'}"], folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "submissions/vit+grey.csv").read_bytes() == Path("submissions/vit+grey.csv").read_bytes()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_result(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [str(made / "config.ini"), *trained(made, "vit", "settings.run_name=stopped", "--quiet")]

    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Silence, "end_epoch", stop)
        assert run_train(*arguments) == 130
    assert run_train("--resume", str(made / "runs/stopped"), "--quiet") == 0
    assert digests(made / "runs/stopped") == digests(made / "runs/vit")


@pytest.mark.slow
def test_another_run_begins_with_the_appended_layer_and_another_kind_of_head_is_refused(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(made / "config.ini"), *trained(made, "grey", "settings.run_name=later")]
    later = [*arguments, "model.pretrained=grey", "hyper_params.epochs=1", "hyper_params.learning_rate=1e-12", "--quiet"]
    assert run_train(*later) == 0
    for number in (0, 1):
        began, ended = state_of(made, "grey", number), state_of(made, "later", number)
        assert without_added(began) == without_added(ended)
        torch.testing.assert_close(ended["appended.weight"], began["appended.weight"], rtol=0, atol=1e-7)
    (line,) = refusal(run_train, [*later, "settings.run_name=no", "model.head=replace"], capsys)
    assert line.endswith("runs/grey/fold0/best.pt: these weights were trained with [model] head = append, and it is replace")
    lines = refusal(run_train, ["--resume", str(made / "runs/vit"), "model.head=replace"], capsys)
    assert lines == ["override model.head: the run was begun with append, not replace; start a new run for that"]


def test_the_table_of_the_model_names_the_appended_layer_as_its_head(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_look("model", str(made / "config.ini"), *trained(made, "grey")) == 0
    out = capsys.readouterr().out
    assert "head      appended\n" in out and "3,003" in out

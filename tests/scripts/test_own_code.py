"""Code of one's own through the scripts: the guide's examples run as they stand, and mistakes in them are one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from modules.runs.checkpoint import load_checkpoint
from tests.digests import digest_tensors
from tests.making import CLASSES, fast, write_config
from tests.scripts.forked import run_elsewhere
from tests.scripts.running import read, refusal, run_inference, run_look, run_train
from tests.some import some

GUIDE = Path(__file__).parents[2] / "docs" / "own-code.md"
BLOCK = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
EXAMPLES = dict(BLOCK.findall(GUIDE.read_text(encoding="utf-8")))
MODEL = "model.name=my_models:make_net"
MORE = "hyper_params.epochs=4"
ARCHIVE = ("settings.log_path=runs", "settings.run_name=run")


@pytest.fixture(autouse=True)
def _code() -> None:
    """The files of the guide, in the current folder."""
    for name, content in EXAMPLES.items():
        Path(name).write_text(content, encoding="utf-8")


def arguments(contest: Path, *more: str) -> list[str]:
    return [str(write_config(Path("config.ini"), "[settings]\n")), *fast(contest, "settings.run_name=run", *more)]


def trained(contest: Path, *more: str) -> list[str]:
    given = arguments(contest, *more)
    assert run_train(*given, "--quiet") == 0
    return given


def weights(run: str = "run") -> str:
    return str(digest_tensors(load_checkpoint(Path(f"runs/{run}/fold0/best.pt"))["model"]))


def edit(name: str, before: str, after: str) -> None:
    text = Path(name).read_text()
    assert before in text
    Path(name).write_text(text.replace(before, after))


def test_the_guide_has_an_example_of_each_kind() -> None:
    kinds = ("metric", "loss", "model", "transform")
    assert set(EXAMPLES) == {f"my_{name}.py" for name in ("metrics", "losses", "models", "transforms")} | {f"{kind}.ini" for kind in kinds}


@pytest.mark.parametrize("kind", some(["model", "metric", "transform", "loss"]))
def test_the_guides_examples_train_and_predict_as_they_stand(kind: str, contest: Path) -> None:
    small = [override for override in fast(contest, "settings.run_name=run") if not override.startswith(("model.name", "augmentation"))]
    name = [] if kind == "model" else ["model.name=test_resnet"]
    given = [f"{kind}.ini", *small, *name]
    assert run_train(*given, "--quiet") == 0
    assert run_inference(*given, "inference.run=run", "--quiet") == 0
    assert len(read(Path("submissions/run.csv"))) == 12
    (digest,) = set(json.loads(Path("runs/run/environment.json").read_text())["own_code"].values())
    assert re.fullmatch(r"[0-9a-f]{64}", digest)


def test_the_metric_chooses_the_best_epoch_and_is_what_is_told(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = trained(contest, "hyper_params.metric=my_metrics:score")
    out = capsys.readouterr().out
    oof = read(Path("runs/run/oof.csv"))
    expected = accuracy_score(oof["target"], oof["prediction"], sample_weight=np.where(oof["target"] == "eel", 3, 1))
    result = json.loads(Path("runs/run/result.json").read_text())
    assert (result["metric"], result["greater_is_better"]) == ("my_metrics:score", True)
    assert result["oof"] == pytest.approx(expected)
    assert f"CV      my_metrics:score {expected:.4f}  out-of-fold" in out
    assert run_inference(*given, f"inference.answers={contest / 'answers.csv'}") == 0
    assert "score against the answers: my_metrics:score" in capsys.readouterr().out


def test_a_metric_of_probabilities_of_which_less_is_better(contest: Path) -> None:
    trained(contest, "hyper_params.metric=my_metrics:distance")
    oof = read(Path("runs/run/oof.csv"))
    probabilities = oof[[f"p:{name}" for name in CLASSES]].to_numpy(dtype=np.float64)
    expected = ((probabilities - np.eye(3)[[CLASSES.index(name) for name in oof["target"]]]) ** 2).mean()
    result = json.loads(Path("runs/run/result.json").read_text())
    assert result["oof"] == pytest.approx(expected, rel=1e-5) and result["greater_is_better"] is False


def test_a_loss_that_is_cross_entropy_learns_what_cross_entropy_does(contest: Path) -> None:
    edit("my_losses.py", " + 1e-3 * logits.square().mean()", "")
    trained(contest, "hyper_params.loss=my_losses:loss", "augmentation.mixup=0.4")
    own = weights()
    shutil.rmtree("runs/run")
    trained(contest, "augmentation.mixup=0.4")
    assert weights() == own
    edit("my_losses.py", "return functional", "return 2 * functional")
    shutil.rmtree("runs/run")
    trained(contest, "hyper_params.loss=my_losses:loss", "augmentation.mixup=0.4")
    assert weights() != own


@pytest.mark.slow
def test_any_number_of_workers_and_a_resume_make_the_same_of_own_transforms(contest: Path) -> None:
    write_config(Path("augmentation.ini"), EXAMPLES["transform.ini"])
    for name, workers in (("none", 0), ("two", 2)):
        given = ["augmentation.ini", *fast(contest, f"settings.run_name={name}", "augmentation.preset=light")]
        assert run_train(*given, f"settings.num_workers={workers}", "--quiet") == 0
    assert weights("none") == weights("two")
    short = ["augmentation.ini", *fast(contest, "settings.run_name=part", "hyper_params.epochs=1", "hyper_params.scheduler=constant")]
    whole = ["augmentation.ini", *fast(contest, "settings.run_name=whole", "hyper_params.scheduler=constant")]
    assert run_train(*short, "--quiet") == 0 and run_train(*whole, "--quiet") == 0
    assert run_train("--resume", "part", "hyper_params.epochs=2", "--quiet") == 0
    assert weights("part") == weights("whole")


def test_mistakes_of_all_kinds_are_told_at_once_each_where_it_is_set(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "[model]\nname = my_models:make_nets\n[augmentation]\ntrain =\n    my_transforms:noise(strenth=3)\n"
        "[hyper_params]\nmetric = my_metrics:scores\nloss = my_loses:loss\n"
    )
    write_config(Path("wrong.ini"), text)
    options = [each for each in fast(contest) if not each.startswith(("model.name", "augmentation"))]
    lines = refusal(run_train, ["wrong.ini", *options], capsys)
    assert [line.split("]")[0] + "]" + line.split("]")[1].split(":")[0] for line in lines] == [
        "wrong.ini:2 [model] name",
        "wrong.ini:4 [augmentation] train",
        "wrong.ini:7 [hyper_params] metric",
        "wrong.ini:8 [hyper_params] loss",
    ]
    assert [re.search(r"did you mean (\w+)", line)[1] for line in lines] == ["make_net", "strength", "score", "my_losses"]  # type: ignore[index]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("option", "code", "message"),
    [
        ("metric", "def f(targets): ...", "f(targets) cannot be called with two arguments, the targets and the predictions"),
        ("metric", "def f(targets, predictions): ...", "tried on a made example: own:f gives no number; expected one for all 12 rows"),
        ("metric", "def f(targets, predictions): return targets == predictions", "tried on a made example: own:f gives no number"),
        ("metric", "def f(targets, predictions): return float('nan')", "tried on a made example: own:f gives nan for 12 rows"),
        (
            "metric",
            "def f(t, p):\n    return t[99]",
            "tried on a made example: own:f fails on 12 rows: IndexError: index 99 is out of bounds",
        ),
        ("metric", "def f(t, p): return (t != p).mean()", "own:f gives 0 for good predictions and 0."),
        (
            "metric",
            "def f(t, p): ...\nf.takes = 'labls'",
            "own:f.takes: expected one of labels, probabilities, values, got 'labls' (did you",
        ),
        ("metric", "def f(t, p): ...\nf.greater_is_better = 0", "own:f.greater_is_better: expected True or False, got 0"),
        ("loss", "def f(logits): ...", "own:f(logits) cannot be called with two arguments, the logits and the targets"),
        ("loss", "def f(logits, targets): ...", "own:f gives nothing; expected one number, a tensor that is a mean over the images, for a"),
        ("loss", "def f(logits, targets): return logits.mean(1)", "own:f gives a tensor of shape (12,); expected one number"),
        ("loss", "def f(logits, targets): return logits.log().mean()", "own:f gives nan, for a made example of the task"),
        ("loss", "def f(logits, targets): return logits.argmax(1).float().mean()", "own:f gives a number without a gradient"),
        ("loss", "def f(logits, targets): return (logits * 0).sum()", "own:f gives a number without a gradient, from which nothing could"),
        (
            "loss",
            "def f(logits, targets):\n    return logits[99].sum()",
            "own:f fails: IndexError: index 99 is out of bounds for dimension 0",
        ),
        (
            "loss",
            "def f(l, t): ...\nf.activation = 'softmx'",
            "own:f.activation: expected one of softmax, sigmoid for task = multiclass, got",
        ),
        (
            "loss",
            "from torch import nn\nclass f(nn.Linear):\n    def __init__(self): super().__init__(1, 1)\n    def forward(self, l, t): ...",
            "own:f has parameters, which nobody would train; make buffers of them",
        ),
        (
            "loss",
            "class f:\n    def __init__(self, gamma): ...",
            "own:f() fails: TypeError: f.__init__() missing 1 required positional argument",
        ),
    ],
)
def test_a_metric_or_a_loss_that_does_not_fit_is_one_line_before_training(
    option: str, code: str, message: str, contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.py").write_text(f"{code}\n")
    (line,) = refusal(run_train, arguments(contest, f"hyper_params.{option}=own:f"), capsys)
    told = line.removeprefix(f"override hyper_params.{option}: ")
    assert told != line and told.startswith((message, f"own:{message}"))
    assert not Path("runs").exists()


def test_a_loss_that_takes_no_shares_is_refused_with_mixup_alone(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.py").write_text(
        "import torch\ndef f(logits, targets):\n    return -logits.log_softmax(1).gather(1, targets[:, None]).mean()\n"
    )
    given = arguments(contest, "hyper_params.loss=own:f")
    assert run_train(*given, "--check") == 0
    (line,) = refusal(run_train, [*given, "augmentation.mixup=0.2"], capsys)
    assert line.startswith("override hyper_params.loss: own:f fails: ") and line.endswith(
        "(own.py:3), for targets that are shares of classes, as mixup and cutmix make them"
    )


def test_smoothing_and_weights_are_for_foldinis_own_losses(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = arguments(
        contest, "hyper_params.loss=my_losses:loss", "hyper_params.label_smoothing=0.1", "hyper_params.class_weights=balanced"
    )
    assert refusal(run_train, given, capsys) == [
        "override hyper_params.label_smoothing: my_losses:loss would have to do that by itself; use 0",
        "override hyper_params.class_weights: my_losses:loss would have to weigh classes by itself; use none",
    ]


def test_what_has_changed_since_a_run_began_is_told(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = trained(contest, MODEL, "hyper_params.epochs=1")
    assert run_train("--resume", "run", "hyper_params.epochs=2", "--quiet") == 0
    assert "has changed" not in capsys.readouterr().err
    edit("my_models.py", "nn.ReLU()", "nn.GELU()")
    assert run_train("--resume", "run", "hyper_params.epochs=3", "--quiet") == 0
    warning = "warning: my_models:make_net: the code has changed since run began; what is computed from here on is not what it was"
    assert capsys.readouterr().err.splitlines().count(warning) == 1
    assert run_inference(*given, "inference.run=run", "--quiet") == 0
    assert capsys.readouterr().err.splitlines().count(warning) == 1
    edit("my_models.py", "nn.GELU(),", "nn.GELU(), nn.Dropout(),")
    other = Path("my_models.py").read_text()
    Path("my_models.py").unlink()
    (line,) = refusal(run_inference, [*given, "inference.run=run"], capsys)
    assert line.startswith("run was trained with code of your own: [model] name: there is no module 'my_models' in this folder")
    *_, line = refusal(run_train, ["--resume", "run", MORE], capsys)
    assert re.match(r"runs/run/config\.ini:\d+ \[model\] name: there is no module 'my_models' in this folder", line)
    Path("my_models.py").write_text(other)
    for script, asked, file in ((run_inference, [*given, "inference.run=run"], "best"), (run_train, ["--resume", "run", MORE], "last")):
        *_, line = refusal(script, asked, capsys)
        assert line.startswith(f"runs/run/fold0/{file}.pt: the weights do not fit the model: of 16 tensors 6 missing (5.weight, ")


def test_an_own_model_freezes_probes_caches_features_and_begins_where_another_run_ended(contest: Path) -> None:
    trained(contest, MODEL)
    first = load_checkpoint(Path("runs/run/fold0/best.pt"))
    assert first["network"] == {"library": "timm", "name": "my_models:make_net"}
    more = (
        "settings.run_name=next",
        "model.pretrained=run",
        "model.freeze=backbone",
        "model.feature_cache=on",
        "hyper_params.learning_rate=0.1",
    )
    given = trained(contest, MODEL, *more)
    second = load_checkpoint(Path("runs/next/fold0/best.pt"))["model"]
    moved = {name for name, tensor in second.items() if not torch.equal(tensor, first["model"][name])}
    assert moved == {"8.weight", "8.bias"}
    assert run_inference(*given, "inference.run=next", "--quiet") == 0
    assert any(Path(".cache/features").iterdir())


def test_pretrained_is_refused_where_the_code_does_not_take_the_word(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*arguments(contest, MODEL, "model.pretrained=auto"), "--check") == 0
    assert "my_models:make_net, pretrained False" in capsys.readouterr().out
    (line,) = refusal(run_train, arguments(contest, MODEL, "model.pretrained=true"), capsys)
    assert line == "override model.pretrained: my_models:make_net takes no argument pretrained; use false, a file or a run"


@pytest.mark.slow
def test_a_bundle_carries_the_code_and_predicts_elsewhere(contest: Path, tmp_path: Path) -> None:
    edit("my_models.py", "from torch import nn\n", "from torch import nn\nfrom mine.parts import ReLU\n")
    edit("my_models.py", "nn.ReLU()", "ReLU()")
    Path("mine").mkdir()
    Path("mine/__init__.py").touch()
    Path("mine/parts.py").write_text("from torch.nn import ReLU\n")
    given = trained(contest, MODEL, "hyper_params.metric=my_metrics:score", "augmentation.valid=my_transforms:Scanlines(gap=6, p=1)")
    assert run_inference(*given, "inference.run=run", "--quiet") == 0
    assert run_look("bundle", "run", "--quiet", *given) == 0
    folder = tmp_path / "empty"
    shutil.unpack_archive("run.zip", folder)
    assert {path.name for path in folder.glob("*.py")} == {"inference.py", "my_metrics.py", "my_models.py", "my_transforms.py"}
    assert (folder / "mine/parts.py").is_file()
    command = [sys.executable, str(folder / "inference.py"), str(folder / "config.ini"), f"settings.log_path={folder / 'runs'}"]
    more = [f"settings.data_path={contest}", "settings.gpu=false"]
    done = subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert (tmp_path / "submissions/run.csv").read_bytes() == Path("submissions/run.csv").read_bytes()


def test_what_a_bundle_cannot_carry_is_refused_in_a_line(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = trained(contest, "hyper_params.metric=sklearn.metrics:accuracy_score", "hyper_params.epochs=1")
    (line,) = refusal(run_look, ["bundle", "run", *given], capsys)
    fault = "sklearn.metrics:accuracy_score: of an installed package, whose files are not carried elsewhere"
    assert line == f"{fault}; train with the code in a file of your own"


def test_an_export_builds_the_model_from_its_own_folder(contest: Path) -> None:
    given = trained(contest, MODEL, "hyper_params.epochs=1")
    assert run_look("export", "run", *given) == 0
    about = json.loads(Path("runs/run/export/model.json").read_text())
    assert about["library_alone_builds_it"] is True and about["arguments"] == {"num_classes": 3, "in_chans": 3}
    folder = Path("runs/run/export").resolve()
    (folder / "line.py").write_text(f"{about['load']}; print(model(torch.ones(1, 3, 32, 32)).shape)", encoding="utf-8")
    done = run_elsewhere(folder / "line.py", [], folder)
    assert done.stdout == "torch.Size([1, 3])\n", done.stderr


def test_the_model_is_looked_at_under_its_own_name(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_look("model", *arguments(contest, MODEL)) == 0
    assert "model     my_models:make_net, 3 x 32 x 32, 3 classes" in capsys.readouterr().out


LATE = """
import numpy as np
from torch import nn

seen = []


def transform(image):
    seen.append(1)
    return CHANGE if len(seen) > 40 else image


class Model(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        seen.append(1)
        return self.head(images.mean((2, 3)) if len(seen) < 12 else images.ravel())
"""


@pytest.mark.parametrize(
    ("option", "change", "message"),
    [
        ("augmentation.train=my_late:transform()", "image[99]", r"train_\d+\.png: a transform fails: IndexError: .*\(my_late\.py:10\)"),
        (
            "augmentation.train=my_late:transform()",
            "image / 255",
            r"train_\d+\.png: transforms make 32 x 32 x 3 float64 of it; expected 32 x 32 x 3 uint8",
        ),
        ("augmentation.valid=my_late:transform()", "image[:8]", r"train_\d+\.png: transforms make 8 x 32 x 3 uint8 of it; .*"),
        ("model.name=my_late:Model", "image", r"code of your own fails: RuntimeError: .*\(my_late\.py:20\)"),
    ],
)
def test_code_that_fits_at_first_and_not_later_is_one_line(
    option: str, change: str, message: str, contest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my_late.py").write_text(LATE.replace("CHANGE", change), encoding="utf-8")
    (line,) = refusal(run_train, [*arguments(contest, option), "--quiet"], capsys)
    assert re.fullmatch(message, line)


LEAVES = """
import sys
from torch import nn


def leave(*given):
    sys.exit(0)


class Loss:
    def __init__(self):
        leave()


class Forward(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images):
        return leave()


class Training(Forward):
    def forward(self, images):
        return leave() if self.training else self.head(images.mean((2, 3)))
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["hyper_params.metric=leaves:leave"], r".* leaves:leave fails on 12 rows: SystemExit: 0 \(PLACE\)"),
        (["hyper_params.loss=leaves:leave"], r".* leaves:leave fails: SystemExit: 0 \(PLACE\), for .*"),
        (["hyper_params.loss=leaves:Loss"], r".* leaves:Loss\(\) fails: SystemExit: 0 \(PLACE\)"),
        (["augmentation.train=leaves:leave()"], r".* leaves:leave fails on 32 x 32 x 3 images: SystemExit: 0 \(PLACE\)"),
        (["model.name=leaves:Forward"], r".* leaves:Forward fails on a 3 x 32 x 32 image: SystemExit: 0 \(PLACE\)"),
        (["model.name=leaves:Training"], r"code of your own fails: SystemExit: 0 \(PLACE\)"),
        (["model.name=leaves:Training", "model.dropout=0.5"], r"PLACE calls sys\.exit\(\), and there is no result; raise an error there"),
    ],
)
def test_code_that_leaves_is_no_silent_success(options: list[str], message: str, contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("leaves.py").write_text(LEAVES, encoding="utf-8")
    (line,) = refusal(run_train, [*arguments(contest, *options), "--quiet"], capsys)
    assert re.fullmatch(message.replace("PLACE", r"leaves\.py:7"), line)


def test_a_transform_that_leaves_late_is_told_from_a_worker_too(contest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = LATE.replace("return CHANGE if", "return __import__('sys').exit() if")
    Path("my_late.py").write_text(late, encoding="utf-8")
    given = arguments(contest, "augmentation.train=my_late:transform()", "settings.num_workers=1")
    (line,) = refusal(run_train, [*given, "--quiet"], capsys)
    assert re.fullmatch(r"train_\d+\.png: a transform fails: SystemExit \(my_late\.py:10\)", line)

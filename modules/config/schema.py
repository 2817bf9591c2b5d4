"""Every section and option: type, default, bounds, help. What is not here does not exist in an INI.

A new option is one line here; the reader, `--print-config`, the errors and docs/config.md follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_type_hints

from modules.config.pipeline import Pipeline
from modules.config.values import Bounds, Size

MANY = 1_000_000


def option(
    default: Any,
    help: str,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    learnt: bool = False,
) -> Any:
    """A field of a section. `learnt`: what was learnt depends on it, so a resumed run must have the same value."""
    bounds = Bounds(at_least, above, at_most, below)
    return field(default=default, metadata={"help": help, "bounds": bounds, "learnt": learnt})


@dataclass(frozen=True)
class Settings:
    """Where things are, what to compute with."""

    debug: bool = option(False, "a few batches of everything, one epoch, two folds: does it all run?", learnt=True)
    gpu: bool = option(True, "use the accelerator if there is one; says so in one line if there is none")
    seed: int = option(42, "every random draw follows from it", at_least=0, at_most=2**32 - 1, learnt=True)
    deterministic: bool = option(True, "choices by rule, never by timing, so that a run can be repeated exactly", learnt=True)
    log_path: str = option("runs", "a folder a run is made in here")
    data_path: str = option("data/digits", "where the contest's files are")
    run_name: str | None = option(None, "the run's folder; blank: date, time and model")
    num_workers: Literal["auto"] | int = option(
        "auto", "processes that prepare images; auto: none on a CPU, else a core each, eight at most", at_least=0, at_most=256
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "auto: bfloat16 on a GPU that has it, float16 on other GPUs, float32 on a CPU", learnt=True
    )
    channels_last: Literal["auto"] | bool = option("auto", "memory layout of images; auto: true on a GPU", learnt=True)


@dataclass(frozen=True)
class Data:
    """The contest's tables and images; paths start at settings.data_path."""

    source: Literal["digits", "csv"] = option(
        "digits", "digits: the practice contest, made at first use; csv: tables of ids and labels", learnt=True
    )
    task: Literal["multiclass"] = option("multiclass", "what is predicted: one class an image", learnt=True)
    train_csv: str = option("train.csv", "the table with the labels")
    train_images: str = option("train", "folder of the training images")
    test_csv: str | None = option(None, "the table of test ids; blank: the ids of sample_submission")
    test_images: str = option("test", "folder of the test images")
    sample_submission: str = option("sample_submission.csv", "the contest's template: its header, ids and order are kept")
    id_column: str | None = option(None, "blank: the first column of sample_submission")
    image_column: str | None = option(None, "the column with the image's path in its folder; blank: the id")
    label_columns: tuple[str, ...] = option(("label",), "the column with the class, a number or a name")
    group_column: str | None = option(None, "samples that must stay in one fold: a person, a patient")
    image_suffix: str | None = option(None, "added to an id that has none, such as .jpg")
    image_size: Size = option(Size(32, 32), "the model's input in pixels: N, or H, W", at_least=8, at_most=8192, learnt=True)
    resize: Literal["stretch", "crop", "pad"] = option(
        "stretch",
        "to image_size: stretch both sides, crop what is too long, or pad what is too short",
        learnt=True,
    )
    channels: Literal[1, 3] = option(3, "1: grey, 3: colour", learnt=True)
    mean: Literal["auto"] | tuple[float, ...] = option(
        "auto", "of pixels scaled to 0..1, a channel; auto: the pretrained model's, else .5", at_least=0, at_most=1, learnt=True
    )
    std: Literal["auto"] | tuple[float, ...] = option(
        "auto", "likewise; auto: the pretrained model's, else .5", above=0, at_most=1, learnt=True
    )
    bad_images: Literal["error", "skip"] = option(
        "error", "training images that cannot be read; skip: every one is decoded first, those left out are named", learnt=True
    )


@dataclass(frozen=True)
class Split:
    """Folds: who trains, who validates."""

    method: Literal["auto", "kfold", "stratified", "group", "stratified_group"] = option(
        "auto", "auto: stratified_group where there is a group_column, else stratified", learnt=True
    )
    folds: int = option(5, "number of folds", at_least=2, at_most=1000, learnt=True)


@dataclass(frozen=True)
class Model:
    """The network, where its weights come from, what of it trains."""

    library: Literal["timm", "torchvision"] = option("timm", "where the model comes from", learnt=True)
    name: str = option("resnet18", "any classification model of the library", learnt=True)
    pretrained: Literal["auto"] | bool | str = option(
        "auto", "auto: true, but false for digits; true: from the hub; false; or a file of weights", learnt=True
    )
    freeze: Literal["none", "backbone"] | tuple[str, ...] = option(
        "none", "what never trains: none, backbone (all but the head), or module names such as conv1, layer1", learnt=True
    )
    head_init: Literal["default", "xavier", "kaiming", "normal", "zeros"] = option(
        "default", "first values of the new head; default: the library's own", learnt=True
    )
    stem_init: Literal["adapt", "default", "xavier", "kaiming"] = option(
        "adapt", "a first layer whose channels change: adapt it from the pretrained one, or start it anew", learnt=True
    )


@dataclass(frozen=True)
class Augmentation:
    """What happens to an image, on its way to the model, besides the resize."""

    preset: Literal["none", "light", "medium", "heavy"] = option(
        "light", "light: small shifts, turns, brightness; medium: also flips, crops, colour; heavy: stronger, with erasing", learnt=True
    )
    train: Pipeline | None = option(
        None, "instead of a preset: one albumentations call a line, images stay uint8 and image_size", learnt=True
    )
    valid: Pipeline | None = option(None, "for validation and test images, likewise; blank: nothing", learnt=True)


@dataclass(frozen=True)
class HyperParams:
    """How it trains."""

    epochs: int = option(10, "at most; patience may end it sooner", at_least=1, at_most=MANY, learnt=True)
    batch_size: int = option(64, "images a step", at_least=1, at_most=MANY, learnt=True)
    learning_rate: float = option(1e-3, "the highest that the schedule reaches", above=0, at_most=1000, learnt=True)
    optimizer: str = option("adamw", "any of timm's: adamw, adam, sgd (Nesterov), momentum (plain), lion, lamb, ...", learnt=True)
    weight_decay: float = option(0.01, "not applied to norms and biases", at_least=0, at_most=100, learnt=True)
    momentum: float = option(0.9, "for optimisers that have it", at_least=0, below=1, learnt=True)
    scheduler: Literal["constant", "cosine", "step", "onecycle"] = option(
        "cosine", "learning rate over the steps, after the warm-up", learnt=True
    )
    step_epochs: int = option(10, "step: epochs between two drops", at_least=1, at_most=MANY, learnt=True)
    step_factor: float = option(0.1, "step: what a drop multiplies with", above=0, at_most=1, learnt=True)
    warmup_epochs: float = option(0.0, "linear, from near zero; may be a part of an epoch", at_least=0, at_most=MANY, learnt=True)
    loss: Literal["auto", "cross_entropy"] = option("auto", "auto: cross entropy", learnt=True)
    label_smoothing: float = option(0.0, "share of the target spread over all classes", at_least=0, below=1, learnt=True)
    metric: Literal["auto", "accuracy", "macro_f1", "micro_f1", "balanced_accuracy", "log_loss", "roc_auc"] = option(
        "auto", "what the best epoch is chosen by, and the score that is reported; auto: accuracy", learnt=True
    )
    patience: int = option(5, "epochs without improvement before a fold stops; 0: never", at_least=0, at_most=MANY, learnt=True)
    min_delta: float = option(0.0, "an improvement is more than this", at_least=0, at_most=MANY, learnt=True)


@dataclass(frozen=True)
class Inference:
    """From a run to a submission."""

    run: str = option("latest", "latest (the newest complete run that is not a debug one), or a run's name or folder")
    tta: Literal["none", "hflip", "vflip", "hvflip"] = option(
        "none", "flipped views whose predictions are averaged; set for training, the CV score is measured with them", learnt=True
    )
    ensemble: Literal["mean"] = option("mean", "how the folds' probabilities become one")
    batch_size: int = option(0, "0: as in training", at_least=0, at_most=MANY)
    submission_path: str = option("submissions", "where submissions and their ledger are written")
    answers: str | None = option(None, "a CSV with the true labels, where they are known: the score is printed")


@dataclass(frozen=True)
class Logging:
    """What is shown and kept."""

    progress: bool = option(True, "a bar while an epoch runs, where the output is a terminal")


@dataclass(frozen=True)
class Compute:
    """Machines and cores."""

    threads: int = option(0, "torch threads; 0: all cores; results repeat exactly only for the same number", at_least=0, at_most=1024)


@dataclass(frozen=True)
class Config:
    """All sections. `origins` tells where each option that somebody set was set: `config.ini:12`, or `override`."""

    settings: Settings = Settings()
    data: Data = Data()
    split: Split = Split()
    model: Model = Model()
    augmentation: Augmentation = Augmentation()
    hyper_params: HyperParams = HyperParams()
    inference: Inference = Inference()
    logging: Logging = Logging()
    compute: Compute = Compute()
    origins: Mapping[tuple[str, str], str] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def locate(self, section: str, option: str) -> str:
        """`config.ini:12 [section] option`, `override section.option`, or `default [section] option`."""
        return place(self.origins.get((section, option), "default"), section, option)


@dataclass(frozen=True)
class Option:
    """What the schema says of one option."""

    section: str
    name: str
    kind: Any
    default: Any
    help: str
    bounds: Bounds
    learnt: bool


OLD_SPELLINGS = {
    ("hyper_params", "epoch"): "epochs",
    ("hyper_params", "lr_rate"): "learning_rate",
    ("hyper_params", "lr"): "learning_rate",
}


def place(origin: str, section: str, option: str) -> str:
    return f"override {section}.{option}" if origin == "override" else f"{origin} [{section}] {option}"


def _options_of(section: str, kind: type) -> dict[str, Option]:
    types = get_type_hints(kind)
    return {
        f.name: Option(section, f.name, types[f.name], f.default, f.metadata["help"], f.metadata["bounds"], f.metadata["learnt"])
        for f in fields(kind)
    }


SECTIONS: Mapping[str, type] = {f.name: type(f.default) for f in fields(Config) if f.name != "origins"}
OPTIONS: Mapping[str, Mapping[str, Option]] = {name: _options_of(name, kind) for name, kind in SECTIONS.items()}


@dataclass(frozen=True)
class Contradiction:
    """Options that are right alone and wrong together; the first of them is the one that is told."""

    options: tuple[tuple[str, str], ...]
    message: str


def contradictions(config: Config) -> list[Contradiction]:
    """What the INI alone tells to be wrong together."""
    found = []
    hyper, data = config.hyper_params, config.data
    if hyper.warmup_epochs >= hyper.epochs and hyper.warmup_epochs > 0 and not config.settings.debug:
        options = (("hyper_params", "warmup_epochs"), ("hyper_params", "epochs"), ("settings", "debug"))
        found.append(Contradiction(options, f"expected fewer than epochs ({hyper.epochs}), got '{hyper.warmup_epochs:g}'"))
    for name in ("mean", "std"):
        value = getattr(data, name)
        if value != "auto" and len(value) not in (1, data.channels):
            message = f"expected {data.channels} numbers, as data.channels says, got {len(value)}"
            found.append(Contradiction((("data", name), ("data", "channels")), message))
    if len(data.label_columns) > 1:
        message = f"expected one column for task = {data.task}, got {len(data.label_columns)}"
        found.append(Contradiction((("data", "label_columns"), ("data", "task")), message))
    return found

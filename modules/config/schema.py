"""Every section and option: type, default, bounds, help. What is not here does not exist in an INI.

A new option is one line here; the reader, `--print-config`, the errors and docs/config.md follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_type_hints

from modules.config.own_code import OwnCode
from modules.config.pipeline import Pipeline
from modules.config.spaces import Space
from modules.config.values import Bounds, ClassWeights, Size, Unfreezing

MANY = 1_000_000
SEARCH_SPACE = "search_space"  # a section whose options are those of others: `hyper_params.epochs = randint(5, 20)`


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
    cache_path: str = option(
        ".cache", "where pixels, features and thumbnails are stored, for all runs; it may be removed at any time, and is made anew"
    )
    cache_limit: float = option(20.0, "gigabytes that one run may add to it", above=0, at_most=MANY)
    run_name: str | None = option(None, "the run's folder; blank: date, time and model")
    num_workers: Literal["auto"] | int = option(
        "auto", "processes that prepare images; auto: none on a CPU, else a core each, eight at most", at_least=0, at_most=256
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "auto: bfloat16 on a GPU that has it, float16 on other GPUs, float32 on a CPU", learnt=True
    )
    channels_last: Literal["auto"] | bool = option("auto", "memory layout of images; auto: true on a GPU and on an x86 CPU", learnt=True)
    compile: bool = option(
        False, "torch.compile: faster steps after minutes of compiling, once for all folds; needs a C++ compiler", learnt=True
    )
    keep_epochs: bool = option(False, "true: also every epoch's weights, in fold*/epochs, named by epoch, loss and score")


@dataclass(frozen=True)
class Data:
    """The contest's tables and images; paths start at settings.data_path."""

    source: Literal["digits", "csv", "folder", "torchvision", "mask"] = option(
        "digits",
        "digits: the practice contest, made at first use; csv: tables of ids and labels; folder: train_images has a folder a class;"
        " torchvision: one of its data sets; mask: the layout of the mask contest, people in folders",
        learnt=True,
    )
    dataset: str | None = option(None, "torchvision: FashionMNIST, CIFAR10, ...; found under data_path, or fetched to it", learnt=True)
    task: Literal["multiclass", "binary", "multilabel", "ordinal", "regression", "multioutput"] = option(
        "multiclass",
        "what is predicted: one class an image; binary: one of two, by a single output; multilabel: any number of labels; ordinal:"
        " classes 0, 1, 2, ... in an order; regression: numbers; multioutput: a class for each of several columns",
        learnt=True,
    )
    train_csv: str = option("train.csv", "the table with the labels; mask: train/train.csv")
    train_images: str = option("train", "folder of the training images; mask: train/images")
    test_csv: str | None = option(None, "the table of test ids; blank: the ids of sample_submission")
    test_images: str = option("test", "folder of the test images; mask: eval/images")
    sample_submission: str = option(
        "sample_submission.csv",
        "the contest's template: its header, ids and order are kept; folder: without one, id and label; mask: eval/info.csv",
    )
    id_column: str | None = option(None, "blank: the first column of sample_submission")
    image_column: str | None = option(None, "the column with the image's path in its folder; blank: the id")
    label_columns: tuple[str, ...] = option(
        ("label",),
        "the column with the class, a number or a name; several: a column a class or label with 0 and 1, or votes, or of regression and"
        " multioutput one each",
    )
    label_separator: str | None = option(
        None, "multilabel: between the labels of one cell: space, comma, semicolon, pipe, or any other text", learnt=True
    )
    target_range: Literal["auto", "none"] | tuple[float, ...] = option(
        "auto", "regression: low, high, to which predictions are clipped; auto: those of the training labels; none: not at all", learnt=True
    )
    label_pattern: str | None = option(
        None,
        "folder: a regular expression over each image's path, with a group `label`: ^(?P<label>cat|dog)\\.; and perhaps a group `group`,"
        " what must stay in one fold",
        learnt=True,
    )
    metadata_columns: tuple[str, ...] | None = option(
        None, "source = csv: columns of train_csv and test_csv, numbers or words, that the model is given beside the image", learnt=True
    )
    group_column: str | None = option(None, "samples that must stay in one fold: a person, a patient", learnt=True)
    image_suffix: str | None = option(None, "added to an id that has none, such as .jpg or _thumbnail.png")
    pixel_columns: str | None = option(
        None, "csv: the tables hold the pixels, in columns of this name and a number (pixel: pixel0, pixel1, ...), or in one of this name"
    )
    pixel_size: Size | None = option(None, "their height and width: N, or H, W; blank: square", at_least=1, at_most=8192, learnt=True)
    channel_suffixes: tuple[str, ...] | None = option(
        None, "csv: an image is several grey files, ID + each suffix, such as _red, _green, _blue; blank: one file", learnt=True
    )
    image_size: Size = option(Size(32, 32), "the model's input in pixels: N, or H, W", at_least=8, at_most=8192, learnt=True)
    resize: Literal["stretch", "crop", "pad"] = option(
        "stretch",
        "to image_size: stretch both sides, crop what is too long, or pad what is too short",
        learnt=True,
    )
    channels: Literal[1, 3, 4] = option(3, "1: grey, 3: colour, 4: with channel_suffixes", learnt=True)
    mean: Literal["auto"] | tuple[float, ...] = option(
        "auto",
        "of pixels scaled to 0..1, a channel; auto: the pretrained model's, else the torchvision data set's, else .5",
        at_least=0,
        at_most=1,
        learnt=True,
    )
    std: Literal["auto"] | tuple[float, ...] = option(
        "auto", "likewise; auto: the pretrained model's, else the torchvision data set's, else .5", above=0, at_most=1, learnt=True
    )
    extra_csv: str | None = option(None, "more labelled images, in training folds only; columns as in train_csv", learnt=True)
    extra_images: str | None = option(None, "folder of the images of extra_csv; blank: train_images", learnt=True)
    corrections: str | None = option(
        None, "a table of ids and what their labels should be; mask: of path (a folder, or folder/file), gender, age, mask", learnt=True
    )
    age_boundary: int = option(
        60, "mask: the age at which the oldest class begins; 58 is what teams used", at_least=31, at_most=120, learnt=True
    )
    pseudo_labels: str | None = option(
        None,
        "test images as training images, in training folds only: a table of predictions (submissions/predictions/NAME.csv) or of id, label"
        " and confidence; the path starts at the current folder",
        learnt=True,
    )
    pseudo_threshold: float = option(0.95, "the confidence that a pseudo label needs", at_least=0, at_most=1, learnt=True)
    bad_images: Literal["error", "skip"] = option(
        "error", "training images that cannot be read; skip: every one is decoded first, those left out are named", learnt=True
    )
    cache: Literal["auto", "on", "off"] = option(
        "auto",
        "decode and resize each image once, and keep its pixels in settings.cache_path for all folds, epochs and runs; auto: where disk and"
        " memory have room for them; the images are the same to the bit with and without",
    )
    cache_margin: float = option(
        1.25,
        "images are kept at so many times image_size where training begins with a RandomResizedCrop, so that its crops keep their detail",
        at_least=1,
        at_most=8,
        learnt=True,
    )
    near_duplicates: Literal["auto", "on", "off"] = option(
        "auto",
        "look at all images for such that are nearly the same, and warn of leaks; auto: where decoding them takes less than about a minute",
    )


@dataclass(frozen=True)
class Split:
    """Folds: who trains, who validates."""

    method: Literal[
        "auto", "kfold", "stratified", "group", "stratified_group", "multilabel_stratified", "holdout", "predefined", "none"
    ] = option(
        "auto",
        "auto: stratified_group where there are groups, else stratified for classes (multilabel_stratified for several labels or outputs),"
        " kfold for numbers; holdout: one fold; predefined: fold_column says; none: no validation, everything trains, for the last refit",
        learnt=True,
    )
    folds: int = option(5, "number of folds", at_least=2, at_most=1000, learnt=True)
    repeats: int = option(1, "times that the folds are made, each time otherwise", at_least=1, at_most=1000, learnt=True)
    train_folds: Literal["all"] | tuple[int, ...] = option("all", "all, or the numbers of those that are trained: 0, 2", at_least=0)
    bins: int = option(
        10,
        "regression: parts of equal size that numbers are sorted into, where a method is stratified",
        at_least=2,
        at_most=1000,
        learnt=True,
    )
    holdout: float = option(0.2, "share of the samples that the one fold of holdout validates", above=0, below=1, learnt=True)
    fold_column: str | None = option(
        None, "predefined: the column of train_csv with each sample's fold; -1: never validated, always trains", learnt=True
    )
    epochs_from: str | None = option(
        None, "none: a finished run, whose mean best epoch becomes epochs (latest: the newest); blank: hyper_params.epochs", learnt=True
    )


@dataclass(frozen=True)
class Model:
    """The network, where its weights come from, what of it trains."""

    library: Literal["timm", "torchvision"] = option("timm", "where the model comes from", learnt=True)
    name: str = option("resnet18", "any classification model of the library; or package.module:name, code of your own", learnt=True)
    pretrained: Literal["auto"] | bool | str = option(
        "auto",
        "auto: true, but false for digits; true: from the hub; false; a file of weights; or a run's folder, fold by fold",
        learnt=True,
    )
    freeze: Literal["none", "backbone"] | tuple[str, ...] = option(
        "none", "what does not train: none, backbone (all but the head), or module names such as conv1, layer1", learnt=True
    )
    unfreeze: Unfreezing | None = option(
        None,
        "what of it begins to train when, epoch: module names, such as 2: layer4, 4: layer3, 6: all; each time with a schedule of its own",
        learnt=True,
    )
    head: Literal["replace", "append", "separate"] = option(
        "replace",
        "a new last layer: in the place of the library's, or append: a linear layer after all of its outputs; separate: one for each thing"
        " that classes are made of (mask: mask, gender, age), whose probabilities are multiplied",
        learnt=True,
    )
    head_init: Literal["auto", "default", "xavier", "kaiming", "normal", "zeros"] = option(
        "auto",
        "first values of the new head; default: the library's own; auto: normal upon pretrained weights, else the library's own",
        learnt=True,
    )
    stem_init: Literal["adapt", "default", "xavier", "kaiming"] = option(
        "adapt", "a first layer whose channels change: adapt it from the pretrained one, or start it anew", learnt=True
    )
    pooling: Literal["auto", "avg", "max", "avgmax", "gem"] = option(
        "auto", "of the last feature map; auto: the model's own; avgmax: the mean of both; gem: generalised mean, p = 3", learnt=True
    )
    feature_cache: Literal["auto", "on", "off"] = option(
        "auto",
        "compute what the frozen part makes of an image once, and store it; auto: where no augmentation is lost, or feature_views is set",
        learnt=True,
    )
    feature_views: int = option(
        1, "augmented views that are stored of each image, the same for all folds and epochs", at_least=1, at_most=1000, learnt=True
    )
    feature_precision: Literal["float16", "float32"] = option("float16", "of stored features; float32: twice the size", learnt=True)
    dropout: float = option(0.0, "before the head; 0: as the library has it", at_least=0, below=1, learnt=True)
    drop_path: float = option(
        0.0, "stochastic depth: of the last block, rising linearly; 0: as the library has it", at_least=0, below=1, learnt=True
    )
    grad_checkpointing: bool = option(False, "less memory, more time: activations are computed again going back", learnt=True)
    ema_decay: float = option(
        0.0, "moving average of the weights, which is validated and kept; such as 0.999; 0: off", at_least=0, below=1, learnt=True
    )


@dataclass(frozen=True)
class Augmentation:
    """What happens to an image, on its way to the model, besides the resize."""

    preset: Literal["none", "light", "medium", "heavy"] = option(
        "light", "light: small shifts, turns, brightness; medium: also flips, crops, colour; heavy: stronger, with erasing", learnt=True
    )
    train: Pipeline | None = option(
        None,
        "instead of a preset: one albumentations call a line, or package.module:name(...); images stay uint8 and image_size",
        learnt=True,
    )
    valid: Pipeline | None = option(None, "for validation and test images, likewise; blank: nothing", learnt=True)
    mixup: float = option(
        0.0, "batches of blended pairs, shares from Beta(a, a); such as 0.2; 0: off", at_least=0, at_most=100, learnt=True
    )
    cutmix: float = option(
        0.0,
        "batches with a box of another image, likewise; with mixup too: one of the two, at random",
        at_least=0,
        at_most=100,
        learnt=True,
    )


@dataclass(frozen=True)
class HyperParams:
    """How it trains."""

    epochs: int = option(10, "at most; patience may end it sooner", at_least=1, at_most=MANY, learnt=True)
    probe_epochs: int = option(
        0, "epochs of the head alone before everything trains (LP-FT); they come before `epochs`", at_least=0, at_most=MANY, learnt=True
    )
    batch_size: int = option(64, "images a step", at_least=1, at_most=MANY, learnt=True)
    accumulate: int = option(1, "batches whose gradients are added up to one step", at_least=1, at_most=MANY, learnt=True)
    learning_rate: float = option(1e-3, "the highest that the schedule reaches", above=0, at_most=1000, learnt=True)
    head_learning_rate: float | None = option(None, "likewise, of the head; blank: the same", above=0, at_most=1000, learnt=True)
    layer_decay: float = option(
        1.0,
        "learning rate of a layer, as a multiple of that of the layer above it; such as 0.75; torchvision: twelve tensors are a layer",
        above=0,
        at_most=1,
        learnt=True,
    )
    optimizer: str = option("adamw", "any of timm's: adamw, adam, sgd (Nesterov), momentum (plain), lion, lamb, ...", learnt=True)
    weight_decay: float = option(0.01, "not applied to norms and biases", at_least=0, at_most=100, learnt=True)
    momentum: float = option(0.9, "for optimisers that have it", at_least=0, below=1, learnt=True)
    clip_grad: float = option(0.0, "norm that the gradient is cut to; 0: off", at_least=0, at_most=MANY, learnt=True)
    scheduler: Literal["constant", "cosine", "step", "onecycle", "plateau"] = option(
        "cosine", "learning rate over the steps, after the warm-up", learnt=True
    )
    step_epochs: int = option(10, "step: epochs between two drops", at_least=1, at_most=MANY, learnt=True)
    step_factor: float = option(0.1, "step, plateau: what a drop multiplies with", above=0, at_most=1, learnt=True)
    plateau_patience: int = option(
        2,
        "plateau: epochs without improvement that are waited for; one more, and the rate drops, unless patience has ended the fold",
        at_least=0,
        at_most=MANY,
        learnt=True,
    )
    warmup_epochs: float = option(0.0, "linear, from near zero; may be a part of an epoch", at_least=0, at_most=MANY, learnt=True)
    loss: Literal["auto", "cross_entropy", "focal", "bce", "f1", "mse", "mae", "huber"] | OwnCode = option(
        "auto",
        "auto: cross entropy; binary, multilabel: bce; ordinal, regression: mse. bce: each class against the others; ordinal: each step of"
        " the order; f1: 1 - soft macro F1 of the batch",
        learnt=True,
    )
    focal_gamma: float = option(
        2.0, "focal: how much less what is known already counts; 0: cross entropy", at_least=0, at_most=100, learnt=True
    )
    label_smoothing: float = option(0.0, "share of the target spread over all classes", at_least=0, below=1, learnt=True)
    class_weights: Literal["none", "balanced"] | ClassWeights = option(
        "none", "balanced: n / (classes * count of the class); or `cat: 2, dog: 1`, or numbers in the order of the classes", learnt=True
    )
    sampler: Literal["shuffle", "balanced"] = option(
        "shuffle", "balanced: an epoch has as many images of each class; of rare ones several times the same", learnt=True
    )
    metric: (
        Literal[
            "auto",
            "accuracy",
            "f1",
            "macro_f1",
            "micro_f1",
            "samples_f1",
            "balanced_accuracy",
            "macro_recall",
            "log_loss",
            "roc_auc",
            "average_precision",
            "map",
            "kl",
            "qwk",
            "rmse",
            "mae",
        ]
        | OwnCode
    ) = option(
        "auto",
        "what the best epoch is chosen by, and the score that is reported; auto: accuracy; multilabel: macro_f1; ordinal: qwk;"
        " regression: rmse; multioutput: macro_recall",
        learnt=True,
    )
    map_at: int = option(5, "map: how many of the most probable classes count", at_least=1, at_most=MANY, learnt=True)
    metric_weights: tuple[float, ...] | None = option(
        None, "multioutput: what each column counts in the metric, such as 2, 1, 1; blank: all alike", above=0, at_most=MANY, learnt=True
    )
    patience: int = option(5, "epochs without improvement before a fold stops; 0: never", at_least=0, at_most=MANY, learnt=True)
    min_delta: float = option(0.0, "an improvement is more than this", at_least=0, at_most=MANY, learnt=True)


@dataclass(frozen=True)
class Inference:
    """From a run to a submission."""

    run: tuple[str, ...] = option(
        ("latest",), "latest (the newest complete run that is not a debug one), a run's name or folder, or several to blend"
    )
    tta: Literal["none", "hflip", "vflip", "hvflip", "d4", "five_crop"] = option(
        "none",
        "views whose predictions are averaged: flips; d4: also quarter turns; five_crop: corners and centre, of 7/8 of each side;"
        " set for training, the CV score is measured with them",
        learnt=True,
    )
    ensemble: Literal["mean", "geometric", "logit", "rank", "vote"] = option(
        "mean", "how the models' probabilities become one; logit: mean log-odds; rank: mean rank among the test images, for AUC"
    )
    weights: Literal["uniform", "score", "oof"] = option(
        "uniform", "of the models: all alike; by their fold's score; or of several runs, fitted on their out-of-fold predictions"
    )
    other_folds: Literal["refuse", "allow"] = option(
        "refuse", "several runs whose samples were divided otherwise; allow: with weights that are not fitted"
    )
    decision: Literal["auto", "plain", "global", "per_class"] = option(
        "auto",
        "how probabilities become labels; plain: the most probable class, .5, the nearest; global: one threshold for all labels; per_class:"
        " thresholds, weights of classes or cut points, fitted out of fold; auto: fitted where the metric gains by it",
    )
    empty_labels: str = option("best", "multilabel: what an image without a label gets; best: the most probable one; none; or a label")
    unknown_class: str | None = option(None, "the class that is given where no class is as probable as unknown_below")
    unknown_below: Literal["auto"] | float = option(
        "auto", "auto: fitted out of fold, where training has samples of unknown_class", above=0, below=1
    )
    batch_size: int = option(0, "0: as in training", at_least=0, at_most=MANY)
    submission_path: str = option("submissions", "where submissions and their ledger are written")
    output: str | None = option(
        None, "a fixed file name, where the contest wants one: a copy in submission_path (or where a path says), replaced each time"
    )
    answers: str | None = option(None, "a CSV with the true labels, where they are known: the score is printed")


@dataclass(frozen=True)
class Logging:
    """What is shown and kept."""

    progress: bool = option(True, "a bar while an epoch runs, where the output is a terminal")
    tensorboard: bool = option(False, "events in the run's folder, for tensorboard --logdir runs")
    wandb: bool = option(False, "the run at Weights & Biases, resumed under the same run; WANDB_MODE=offline keeps it here")
    wandb_project: str = option("foldini", "the project of Weights & Biases")
    wandb_entity: str | None = option(None, "its user or team; blank: your own")
    plots: bool = option(True, "report.html in the run's folder, at the end of training")


@dataclass(frozen=True)
class Tuning:
    """A search by `tune.py`, over the options that [search_space] names."""

    trials: int = option(10, "how many combinations are tried; grid: all there are, whatever this says", at_least=1, at_most=MANY)
    searcher: Literal["hyperopt", "optuna", "random", "grid"] = option(
        "hyperopt", "hyperopt and optuna draw where earlier trials were good (tree-structured Parzen estimators); grid: every combination"
    )
    scheduler: Literal["asha", "none"] = option(
        "asha", "asha: a trial that is behind the others after as many epochs ends; none: all train to their end"
    )
    grace_epochs: Literal["auto"] | int = option(
        "auto", "asha: no trial ends before; auto: a fifth of the longest trial, and one at the full rate", at_least=1, at_most=MANY
    )
    reduction: int = option(
        3, "asha: about one of so many trials goes on at each look; looks are so many times further apart", at_least=2, at_most=100
    )
    folds: int = option(1, "folds that a trial trains before the best are confirmed on all", at_least=1, at_most=1000)
    confirm: int = option(3, "trials that are confirmed; 0: none", at_least=0, at_most=MANY)
    parallel: Literal["auto"] | int = option(
        "auto", "trials at a time, which share cores and GPUs; auto: as many as there are GPUs, or on a CPU one", at_least=1, at_most=10_000
    )


@dataclass(frozen=True)
class Compute:
    """Machines and cores."""

    engine: Literal["local", "ray"] = option("local", "local: folds one after another; ray: several at a time, here or on a cluster")
    address: str | None = option(None, "ray: blank: this machine; auto or host:port: a cluster that runs already")
    parallel_folds: Literal["auto"] | int = option(
        "auto", "ray: folds at a time; auto: as many as there is room for", at_least=1, at_most=1000
    )
    cpus_per_fold: int = option(0, "ray: cores that a fold is given; 0: as many as it has threads", at_least=0, at_most=1024)
    gpus_per_fold: float = option(0.0, "ray: GPUs that a fold is given; parts of one too, such as 0.5", at_least=0, at_most=64)
    threads: int = option(
        0,
        "torch threads of one fold; 0: all cores, whatever OMP_NUM_THREADS says, or with engine = ray this fold's share of them;"
        " results repeat exactly only for the same number",
        at_least=0,
        at_most=1024,
    )
    sync_batchnorm: bool = option(
        False, "torchrun, on CUDA: BatchNorm over the whole batch, not over each process's part of it", learnt=True
    )


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
    tuning: Tuning = Tuning()
    compute: Compute = Compute()
    search_space: tuple[Space, ...] = ()
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


SECTIONS: Mapping[str, type] = {f.name: type(f.default) for f in fields(Config) if f.name not in ("origins", SEARCH_SPACE)}
OPTIONS: Mapping[str, Mapping[str, Option]] = {name: _options_of(name, kind) for name, kind in SECTIONS.items()}

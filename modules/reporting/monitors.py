"""What TensorBoard and Weights & Biases are told. Imported only where [logging] asks for one of them."""

from __future__ import annotations

import copy
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modules.config.comparison import LEARNT, differences
from modules.config.errors import OptionError
from modules.config.schema import OPTIONS, Config
from modules.config.values import format_value
from modules.reporting.facts import Facts
from modules.reporting.pictures import as_array
from modules.reporting.plots import draw_confusion
from modules.reporting.sinks import Silence
from modules.runs.records import EpochRecord, FoldResult, Sight

BINS, COUNTED = 64, 2**14  # of a histogram of weights; of more than that about as many, evenly spread, are looked at
GRID = 16  # augmented images
FOLDER = "tensorboard"  # in the run's
MISSING = "{package} is not installed: pip install {package}"


def numbers_of(record: EpochRecord, metric: str) -> dict[str, float]:
    """What an epoch came to, without what is no number."""
    named = {
        "loss/train": record.train_loss,
        "loss/valid": record.valid_loss,
        f"score/{metric}": record.score,
        f"score/best {metric}": record.best,
        "learning rate": record.learning_rate,
        "images a second": record.images_per_second,
    }
    return {name: value for name, value in named.items() if not math.isnan(value)}


class Weights:
    """Of the folds in training; their histograms are made once an epoch, for all monitors."""

    def __init__(self) -> None:
        self.modules: dict[int, nn.Module] = {}
        self.made_of: tuple[int, int] | None = None
        self.made: dict[str, dict[str, Any]] = {}

    def watch(self, sight: Sight) -> None:
        self.modules[sight.fold] = sight.module

    def forget(self, fold: int) -> None:
        self.modules.pop(fold, None)

    def histograms(self, record: EpochRecord) -> dict[str, dict[str, Any]]:
        """By the parameter's name; none of a fold that another process trains."""
        if self.made_of != (record.fold, record.epoch):
            module = self.modules.get(record.fold)
            self.made = {name: histogram(tensor) for name, tensor in module.named_parameters()} if module is not None else {}
            self.made_of = record.fold, record.epoch
        return self.made


class TensorBoard(Silence):
    """runs/RUN/tensorboard, a folder a fold in it: what epochs came to, weights, augmented images, the graph; and the run's end."""

    def __init__(self, run: Path, metric: str, weights: Weights) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise OptionError("logging", "tensorboard", MISSING.format(package="tensorboard")) from None
        self.make = SummaryWriter
        self.folder, self.metric, self.weights = run / FOLDER, metric, weights
        self.writers: dict[int, Any] = {}
        self.traced: tuple[nn.Module, tuple[torch.Tensor, ...]] | None = None

    def start_fold(self, sight: Sight) -> None:
        self.weights.watch(sight)
        if sight.first:
            writer = self._writer(sight.fold, sight.epoch)
            writer.add_images("training images, augmented", sight.images()[:GRID, ..., :3], sight.epoch, dataformats="NHWC")
        if self.traced is None:
            self._keep_for_graph(sight)

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        writer = self._writer(record.fold, record.epoch)
        for name, value in numbers_of(record, self.metric).items():
            writer.add_scalar(name, value, record.epoch)
        for name, found in self.weights.histograms(record).items():
            writer.add_histogram_raw(name, global_step=record.epoch, **found)
        writer.flush()

    def end_fold(self, result: FoldResult) -> None:
        self.weights.forget(result.fold)
        if result.fold in self.writers:
            self.writers.pop(result.fold).close()

    def end_run(self, facts: Facts) -> None:
        """The graph, the confusion, mistakes with their labels, and the hyperparameters with the CV score."""
        with self.make(str(self.folder)) as writer:
            if self.traced is not None:
                _draw_graph(writer, *self.traced)
            for facet in facts.facets:
                writer.add_image(f"confusion/{facet.name}", as_array(draw_confusion(facet)), dataformats="HWC")
            for number, picture in enumerate(facts.mistakes):
                writer.add_image(f"mistakes/{number}: {', '.join(picture.captions)}", picture.colours, dataformats="HWC")
            if facts.result["oof"] is not None:
                writer.add_hparams(hyperparameters(facts.config), {f"cv/{self.metric}": facts.result["oof"]}, run_name=".")

    def close(self, failed: bool) -> None:
        for writer in self.writers.values():
            writer.close()

    def _keep_for_graph(self, sight: Sight) -> None:
        """A copy, since tracing would move BatchNorm's statistics; traced in the end, as that takes as long as a short epoch."""
        try:
            self.traced = copy.deepcopy(sight.module).cpu().eval(), tuple(each.cpu() for each in sight.inputs())
        except Exception as error:  # a model that cannot be copied trains all the same
            _tell_no_graph(self._writer(sight.fold, sight.epoch), error)

    def _writer(self, fold: int, epoch: int) -> Any:
        """What an earlier process wrote of this epoch and later ones is not shown: they are trained again."""
        if fold not in self.writers:
            self.writers[fold] = self.make(str(self.folder / f"fold{fold}"), purge_step=epoch)
        return self.writers[fold]


class Wandb(Silence):
    """A run of Weights & Biases, under the run's own id: one that is resumed goes on there."""

    def __init__(self, run: Path, run_id: str, config: Config, metric: str, weights: Weights) -> None:
        try:
            import wandb
        except ImportError:
            raise OptionError("logging", "wandb", MISSING.format(package="wandb")) from None
        self.metric, self.weights = metric, weights
        self.image, self.histogram = wandb.Image, wandb.Histogram
        exit, excepthook = sys.exit, sys.excepthook
        settings = wandb.Settings(silent=True, disable_git=True, disable_code=True)
        try:
            self.run = wandb.init(
                project=config.logging.wandb_project,
                entity=config.logging.wandb_entity,
                dir=str(run),
                id=run_id,
                name=run.name,
                resume="allow",
                config=everything(config),
                settings=settings,
            )
        except (wandb.errors.UsageError, wandb.errors.CommError, ValueError) as error:  # the last of its settings, such as WANDB_MODE
            reason = " ".join(str(error).split())[:200]
            fault = f"Weights & Biases does not begin: {reason}; wandb login, or WANDB_MODE=offline keeps it in {run}/wandb"
            raise OptionError("logging", "wandb", fault) from None
        finally:  # it takes their places, to know of the end; close() tells it, and traces of errors are to show no code but the person's
            sys.exit, sys.excepthook = exit, excepthook

    def start_fold(self, sight: Sight) -> None:
        self.weights.watch(sight)
        self.run.define_metric(f"fold{sight.fold}/*", step_metric=f"fold{sight.fold}/epoch")
        if sight.first:
            images = [self.image(image) for image in sight.images()[:GRID, ..., :3].numpy()]
            self.run.log({f"fold{sight.fold}/training images, augmented": images, f"fold{sight.fold}/epoch": sight.epoch})

    def end_epoch(self, record: EpochRecord, epochs: int) -> None:
        told: dict[str, Any] = {"epoch": record.epoch, **numbers_of(record, self.metric)}
        for name, found in self.weights.histograms(record).items():
            edges = [found["min"], *found["bucket_limits"]]
            told[f"weights/{name}"] = self.histogram(np_histogram=(np.array(found["bucket_counts"]), np.array(edges)))
        self.run.log({f"fold{record.fold}/{name}": value for name, value in told.items()})

    def end_fold(self, result: FoldResult) -> None:
        self.weights.forget(result.fold)

    def end_run(self, facts: Facts) -> None:
        confusions = {f"confusion/{facet.name}": self.image(as_array(draw_confusion(facet))) for facet in facts.facets}
        mistakes = [self.image(picture.colours, caption=", ".join(picture.captions)) for picture in facts.mistakes]
        self.run.log({**confusions, **({"mistakes": mistakes} if mistakes else {})})
        self.run.summary.update({f"cv/{name}": facts.result[name] for name in ("oof", "mean", "std") if facts.result[name] is not None})

    def close(self, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


def _draw_graph(writer: Any, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing is deprecated: add_graph has no other way
            writer.add_graph(module, inputs)
    except Exception as error:  # nor does a model that cannot be traced end its run
        _tell_no_graph(writer, error)


def _tell_no_graph(writer: Any, error: Exception) -> None:
    writer.add_text("graph", f"it cannot be drawn: {' '.join(str(error).split())[:300]}")


def histogram(tensor: torch.Tensor) -> dict[str, Any]:
    """Counts in BINS parts of equal width between the smallest and the largest number, as add_histogram_raw takes them.

    Of large tensors of a part of the numbers: all of a ResNet-18's, every epoch, were 2% of a small contest's training. By torch's
    own, on the tensor's device.
    """
    values = tensor.detach().flatten()
    values = values[:: max(1, len(values) // COUNTED)].float()
    low, high = _ends(values)
    if not math.isfinite(low + high):
        values = values[values.isfinite()]
        low, high = _ends(values)
    counts = torch.histc(values, BINS, low, high) if high > low else torch.tensor([float(len(values))])
    limits = np.linspace(low, high if high > low else low + 1e-12, len(counts) + 1)[1:]
    return {
        "min": low,
        "max": high,
        "num": len(values),
        "sum": float(values.sum()),
        "sum_squares": float(values.square().sum()),
        "bucket_limits": limits.tolist(),
        "bucket_counts": counts.tolist(),
    }


def _ends(values: torch.Tensor) -> tuple[float, float]:
    low, high = values.aminmax() if len(values) else (0.0, 0.0)
    return float(low), float(high)


def hyperparameters(config: Config) -> dict[str, str | float | bool]:
    """What was set otherwise than by default, of what is learnt depends on, and what every run is compared by."""
    names = [("model", "name"), ("hyper_params", "learning_rate"), ("hyper_params", "batch_size"), ("hyper_params", "epochs")]
    names += [(each.section, each.name) for each in differences(Config(), config, LEARNT) if each.section != "settings"]
    return {f"{section}.{name}": _plain(getattr(getattr(config, section), name)) for section, name in dict.fromkeys(names)}


def everything(config: Config) -> dict[str, dict[str, str | float | bool]]:
    return {section: {name: _plain(getattr(getattr(config, section), name)) for name in options} for section, options in OPTIONS.items()}


def _plain(value: Any) -> str | float | bool:
    return value if isinstance(value, (bool, int, float)) else format_value(value).strip()

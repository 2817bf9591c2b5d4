"""A finished run to predictions of the test set: its folds' models, looked at before they are believed, and one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from tqdm import tqdm

from modules.compute.process import Process, start_process
from modules.config.errors import ConfigError, DataError, gather
from modules.config.reader import read_config
from modules.config.schema import Config
from modules.config.values import format_value
from modules.data.loaders import BatchSampler, ImageBatches, Loader
from modules.data.preprocessing import Normalizer, Preprocessing
from modules.data.samples import Rows, Samples
from modules.data.sources import contest_folder, id_column, load_test, template_path
from modules.data.transforms import build_pipeline
from modules.jobs.failures import told
from modules.jobs.preparation import refuse_bad_images, say
from modules.models.build import build_network
from modules.models.objectives import make_objective
from modules.prediction.ensemble import combine
from modules.prediction.metrics import Metric, find_metric
from modules.prediction.predict import predict
from modules.prediction.predictions import Predictions, check_probabilities
from modules.prediction.submission import Template, read_answers, read_template, write_submission
from modules.prediction.tta import VIEWS
from modules.runs.checkpoint import load_checkpoint
from modules.runs.directory import RunDirectory, find_run, latest_run

# What training knew and a checkpoint carries: said again, it must be the same.
CARRIED = (
    ("data", "source"),
    ("data", "dataset"),
    ("data", "task"),
    ("data", "image_size"),
    ("data", "resize"),
    ("data", "channels"),
    ("data", "mean"),
    ("data", "std"),
    ("model", "library"),
    ("model", "name"),
    ("augmentation", "valid"),
)


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, its config and result, and its folds' best checkpoints."""

    directory: RunDirectory
    config: Config
    result: dict[str, Any]
    checkpoints: tuple[dict[str, Any], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.result["classes"])

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_dict(self.checkpoints[0]["preprocessing"])

    @property
    def metric(self) -> Metric:
        return find_metric(self.result["metric"])


def open_trained(config: Config) -> TrainedRun:
    """The run that [inference] run names. Raises UserError for one that is not finished, or that `config` contradicts."""
    if config.inference.run == ("latest",):
        directory = latest_run(config.settings.log_path, config.settings.debug)
    else:
        directory = find_run(config.settings.log_path, config.inference.run[0])
    result = directory.read_result()
    own, _ = read_config([directory.config])
    _refuse_contradictions(config, own, directory)
    checkpoints = tuple(_load_member(directory, result, number) for number in result["fold_numbers"])
    first = checkpoints[0]["preprocessing"]
    if any(checkpoint["preprocessing"] != first for checkpoint in checkpoints):
        raise DataError(f"{directory.path}: its folds' checkpoints were made with different preprocessing")
    return TrainedRun(directory, own, result, checkpoints)


@dataclass(frozen=True)
class TestSet:
    """What is to be predicted, the template that takes it, and where they are known the (N,) true classes."""

    samples: Samples
    template: Template
    answers: Rows | None


def load_test_set(config: Config, run: TrainedRun) -> TestSet:
    """Everything that the submission needs besides predictions, looked at before the first of them is made.

    Raises UserError: at inference no image is ever left out.
    """
    folder = contest_folder(config.data, config.settings.data_path)
    samples = load_test(config.data, folder, run.classes)
    column = id_column(config.data, folder)

    def answers() -> Rows | None:
        path = config.inference.answers
        if not path:
            return samples.targets
        return read_answers(Path(path), column, config.data.label_columns[0], samples.ids, run.classes)

    template, known, *_ = gather(
        lambda: read_template(template_path(config.data, folder), column, samples.ids, run.classes, run.metric),
        answers,
        lambda: refuse_bad_images(samples),
        lambda: Path(config.inference.submission_path).mkdir(parents=True, exist_ok=True),
    )
    return TestSet(samples, template, known)


def predict_test(config: Config, run: TrainedRun, test: Samples, quiet: bool) -> Predictions:
    """The ensemble's predictions: every fold's model fed from one pass over the images."""
    process, remarks = start_process(config.settings, config.compute)
    say(*remarks)
    if config.inference.tta != run.result["tta"]:
        say(f"the CV score was measured with tta {run.result['tta']}; to have it with {config.inference.tta}, set that when training")
    members = [_restore_member(run, checkpoint, process) for checkpoint in run.checkpoints]
    pipeline = build_pipeline(run.preprocessing.valid, "valid")
    dataset = ImageBatches(test, run.preprocessing, pipeline, (run.config.settings.seed, "valid"))
    rows = np.arange(len(test))
    sampler = BatchSampler(rows, config.inference.batch_size or run.config.hyper_params.batch_size)
    batches = Loader(dataset, sampler, process.workers, process.device.type == "cuda")
    shown = tqdm(batches.epoch(0), total=len(batches), desc="predict", leave=False, disable=quiet or not config.logging.progress or None)
    with told(f"not enough memory for batches of {sampler.batch_size}; set inference.batch_size lower"):
        outcome = predict(
            members,
            shown,
            rows,
            len(run.classes),
            Normalizer(run.preprocessing, process.device, process.channels_last),
            make_objective(run.config.hyper_params.loss, 0.0),
            VIEWS[config.inference.tta],
            process,
        )
    predictions = Predictions(test.ids, run.classes, combine(outcome.probabilities, config.inference.ensemble))
    check_probabilities(predictions, "predictions of the test set")
    return predictions


def submit(config: Config, run: TrainedRun, template: Template, predictions: Predictions) -> Path:
    """Writes the submission, its manifest and the ledger's row; returns the submission's path."""
    manifest = {
        "run": run.directory.name,
        "run_id": run.result["run_id"],
        "members": [{"fold": each["fold"], "epoch": each["epoch"], "scores": each["scores"]} for each in run.checkpoints],
        "ensemble": config.inference.ensemble,
        "weights": [1 / len(run.checkpoints)] * len(run.checkpoints),
        "tta": config.inference.tta,
        "tta_of_oof": run.result["tta"],
        "config_sha256": sha256(run.directory.config.read_bytes()).hexdigest(),
        "metric": run.result["metric"],
        "cv_score": run.result["oof"],
    }
    return write_submission(Path(config.inference.submission_path), run.directory.name, template, predictions, manifest, run.result["oof"])


def _refuse_contradictions(config: Config, own: Config, directory: RunDirectory) -> None:
    lines = []
    for section, option in CARRIED:
        trained, said = (getattr(getattr(each, section), option) for each in (own, config))
        if (section, option) in config.origins and trained != said:
            now, then = format_value(said).strip() or "blank", format_value(trained).strip() or "blank"
            advice = f"leave it out, or: python inference.py {directory.config} inference.run={directory.name}"
            lines.append(f"{config.locate(section, option)}: {now}, but {directory.name} was trained with {then}; {advice}")
    if lines:
        raise ConfigError(*lines)


def _load_member(directory: RunDirectory, result: dict[str, Any], number: int) -> dict[str, Any]:
    path = directory.fold(number).best
    if not path.exists():
        raise DataError(f"{path}: missing; the run has folds {', '.join(map(str, result['fold_numbers']))}")
    checkpoint = load_checkpoint(path)
    if checkpoint.get("run_id") != result["run_id"]:
        raise DataError(f"{path}: this checkpoint is of another run")
    if checkpoint.get("fold") != number:
        raise DataError(f"{path}: this checkpoint is of fold {checkpoint.get('fold')}, not of fold {number}")
    if checkpoint.get("classes") != result["classes"]:
        raise DataError(f"{path}: its classes, or their order, are not those of the run")
    return checkpoint


def _restore_member(run: TrainedRun, checkpoint: dict[str, Any], process: Process) -> nn.Module:
    model = replace(run.config.model, **checkpoint["network"])
    preprocessing = run.preprocessing
    network = build_network(model, len(run.classes), preprocessing.channels, preprocessing.size, pretrained=False)
    network.module.load_state_dict(checkpoint["model"])
    return process.place(network.module)

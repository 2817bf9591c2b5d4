"""Finished runs to predictions of the test set, and to a submission."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from modules.compute.process import Process, start_process
from modules.config.errors import OptionError, gather
from modules.config.schema import Config
from modules.data.samples import Samples
from modules.data.sources import as_laid_out, contest_folder, id_column, load_test
from modules.data.task import Targets
from modules.jobs.asking import ask_template
from modules.jobs.bad_images import refuse_bad_images
from modules.jobs.blending import Blend, Measured
from modules.jobs.deciding import asked_of, check_decision
from modules.jobs.passes import predict_members
from modules.jobs.remarks import say
from modules.jobs.trained import TrainedRun
from modules.prediction.ensemble import combine
from modules.prediction.predictions import Predictions, check_predictions
from modules.prediction.submission import find_output, name_after, read_answers, write_submission
from modules.prediction.template import Template


@dataclass(frozen=True)
class TestSet:
    """What is to be predicted, the template that takes it, and where they are known the true targets.

    output: the copy of the submission under a fixed name, where one is asked for.
    """

    samples: Samples
    template: Template
    answers: Targets | None
    output: Path | None


def load_test_set(config: Config, runs: Sequence[TrainedRun]) -> TestSet:
    """Everything that the submission needs besides predictions, looked at before the first of them is made.

    Raises UserError: at inference no image is ever left out.
    """
    run = runs[0]
    gather(lambda: _refuse_ranks(config, run), lambda: check_decision(asked_of(config, run), run.task, run.metric))
    folder = contest_folder(config.data, config.settings.data_path)
    task = next((each.task for each in runs if each.task.inputs), run.task)  # open_trained saw that the others have none, or the same
    samples = load_test(config.data, folder, task)
    column = id_column(config.data, folder)
    submissions = Path(config.inference.submission_path)
    data = as_laid_out(config.data)
    inputs = [folder / name for name in (data.sample_submission, data.train_csv, data.test_csv, data.extra_csv, data.corrections) if name]
    inputs += [Path(config.inference.answers)] if config.inference.answers else []

    def answers() -> Targets | None:
        path = config.inference.answers
        if not path:
            return samples.targets
        return read_answers(Path(path), column, data, samples.ids, run.task)

    template, known, output, *_ = gather(
        lambda: ask_template(config, samples, run.task, run.metric, run.config),
        answers,
        lambda: find_output(submissions, config.inference.output, inputs),
        lambda: refuse_bad_images(samples),
        lambda: submissions.mkdir(parents=True, exist_ok=True),
    )
    say(*template.remarks)
    if config.inference.ensemble == "rank" and not template.takes_probability:
        say(
            "warning: rank is made for scores that go by order, such as roc_auc; the class of the highest rank may not be the most probable"
        )
    return TestSet(samples, template, known, output)


def start(config: Config) -> Process:
    """What this process computes with; remarks go to stderr."""
    process, remarks = start_process(config.settings, config.compute)
    say(*remarks)
    return process


def predict_test(config: Config, blend: Blend, test: Samples, process: Process, quiet: bool) -> Predictions:
    """The ensemble's predictions: every fold's model of every run."""
    members = predict_members(config, blend.members, test, np.arange(len(test)), process, quiet)
    for each in members:
        check_predictions(Predictions(test.ids, blend.task, each), "predictions of the test set")
    combined = combine(members, config.inference.ensemble, blend.task, blend.weights)
    predictions = Predictions(test.ids, blend.task, combined, are_ranks=config.inference.ensemble == "rank")
    check_predictions(predictions, "predictions of the test set")
    return predictions


def submit(config: Config, blend: Blend, test: TestSet, predictions: Predictions) -> Path:
    """Writes the submission, its manifest, the ledger's row and the copy; returns the submission's path."""
    names = [run.name for run in blend.runs]
    manifest = {
        "run": "+".join(names),
        "runs": [_describe_run(run, measured) for run, measured in zip(blend.runs, blend.measured, strict=True)],
        "members": [
            {"run": run.name, "fold": each["fold"], "epoch": each["epoch"], "scores": each.get("scores")} for run, each in blend.members
        ],
        "ensemble": config.inference.ensemble,
        "weighting": config.inference.weights,
        "weights": list(blend.weights),
        "tta": config.inference.tta,
        "metric": blend.metric.name,
        "cv_score": blend.cv_score,
        "cv_coverage": blend.cv_coverage,
        "decision": blend.decision.to_dict(),
        "cv_score_plain": blend.plain_score,
    }
    folder = Path(config.inference.submission_path)
    return write_submission(folder, name_after(names), test.template, predictions, manifest, blend.cv_score, test.output, blend.decision)


def _describe_run(run: TrainedRun, measured: Measured) -> dict[str, Any]:
    return {
        "name": run.name,
        "run_id": run.result["run_id"],
        "config_sha256": sha256(run.directory.config.read_bytes()).hexdigest(),
        "metric": run.result["metric"],
        "cv_score": measured.score,
        "tta_of_cv_score": measured.tta,
    }


def _refuse_ranks(config: Config, run: TrainedRun) -> None:
    if config.inference.ensemble == "rank" and run.metric.name == "log_loss":
        message = "the metric log_loss wants probabilities, and ranks are none; use mean, geometric or logit"
        raise OptionError("inference", "ensemble", message)

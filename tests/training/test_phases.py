"""The plan of phases: which epochs train what, and with which settings."""

from __future__ import annotations

from dataclasses import replace

from modules.config.schema import HyperParams, Model
from modules.training.phases import TrainingPhase, make_phases


def test_without_a_probe_there_is_one_phase_of_all_epochs() -> None:
    hyper = HyperParams(epochs=7, warmup_epochs=2, patience=3)
    assert make_phases(Model(freeze=("conv1",)), hyper) == (TrainingPhase(1, hyper, ("conv1",)),)
    assert make_phases(Model(), hyper)[0].last_epoch == 7


def test_a_probe_of_the_head_comes_before_all_epochs() -> None:
    hyper = HyperParams(epochs=7, probe_epochs=2, warmup_epochs=3, patience=4)
    probe, rest = make_phases(Model(freeze=("conv1",)), hyper)
    assert (probe.first_epoch, probe.last_epoch, probe.freeze) == (1, 2, "backbone")
    assert (rest.first_epoch, rest.last_epoch, rest.freeze) == (3, 9, ("conv1",))
    assert rest.hyper == hyper


def test_a_probe_has_no_warm_up_and_no_patience_and_all_else_of_the_config() -> None:
    hyper = HyperParams(epochs=7, probe_epochs=2, warmup_epochs=3, patience=4, scheduler="step", step_epochs=1, accumulate=5)
    probe, _ = make_phases(Model(), hyper)
    assert probe.hyper == replace(hyper, epochs=2, warmup_epochs=0.0, patience=0)

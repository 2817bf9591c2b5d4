"""The plan of phases: which epochs train what, and with which settings."""

from __future__ import annotations

from dataclasses import replace

from modules.config.schema import HyperParams, Model
from modules.config.values import Unfreezing
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


STAGES = Unfreezing(((3, ("layer4",)), (6, ("layer3", "layer2")), (7, ("all",))))


def test_each_epoch_of_unfreeze_begins_a_phase_that_trains_what_those_before_it_did_and_more() -> None:
    phases = make_phases(Model(freeze="backbone", unfreeze=STAGES), HyperParams(epochs=10))
    assert [(phase.first_epoch, phase.last_epoch) for phase in phases] == [(1, 2), (3, 5), (6, 6), (7, 10)]
    assert [phase.unfrozen for phase in phases] == [
        (),
        ("layer4",),
        ("layer4", "layer3", "layer2"),
        ("layer4", "layer3", "layer2", "all"),
    ]
    assert {phase.freeze for phase in phases} == {"backbone"}


def test_a_probe_and_unfreezing_count_the_same_epochs() -> None:
    model = Model(freeze=("layer1", "layer2"), unfreeze=Unfreezing(((4, ("layer2",)),)))
    phases = make_phases(model, HyperParams(epochs=3, probe_epochs=2))
    assert [(phase.first_epoch, phase.last_epoch, phase.freeze, phase.unfrozen) for phase in phases] == [
        (1, 2, "backbone", ()),
        (3, 3, ("layer1", "layer2"), ()),
        (4, 5, ("layer1", "layer2"), ("layer2",)),
    ]


def test_only_the_last_phase_has_patience_and_no_warm_up_takes_more_than_half_of_a_phase() -> None:
    hyper = HyperParams(epochs=10, warmup_epochs=1.5, patience=4)
    phases = make_phases(Model(freeze="backbone", unfreeze=STAGES), hyper)
    assert [phase.hyper.patience for phase in phases] == [0, 0, 0, 4]
    assert [phase.hyper.warmup_epochs for phase in phases] == [1.0, 1.5, 0.5, 1.5]


def test_what_is_unfrozen_from_the_first_epoch_on_makes_no_empty_phase() -> None:
    (phase,) = make_phases(Model(freeze="backbone", unfreeze=Unfreezing(((1, ("layer4",)),))), HyperParams(epochs=1))
    assert (phase.first_epoch, phase.last_epoch, phase.unfrozen) == (1, 1, ("layer4",))


def test_what_would_begin_behind_the_last_epoch_never_does() -> None:
    """A refit trains for the epochs that another run found best: these may end before all of them began."""
    for epochs, expected in ((2, [(1, 2)]), (3, [(1, 2), (3, 3)]), (5, [(1, 2), (3, 5)]), (6, [(1, 2), (3, 5), (6, 6)])):
        phases = make_phases(Model(freeze="backbone", unfreeze=STAGES), HyperParams(epochs=epochs, patience=3))
        assert [(phase.first_epoch, phase.last_epoch) for phase in phases] == expected
        assert [phase.hyper.patience for phase in phases] == [0] * (len(phases) - 1) + [3]

"""[search_space]: what may be drawn, each end a legal value, and how mistakes are told."""

from __future__ import annotations

import pytest

from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import OPTIONS, Config
from modules.config.search_space import why_not_searched
from modules.config.spaces import Space
from tests.config.test_reader import mistakes, read, write

NOTES = """\
[tuning]
trials = 12
[search_space]
hyper_params.epochs = randint(5, 20)
hyper_params.batch_size = choice(32, 64, 128)
hyper_params.learning_rate = loguniform(1e-4, 1e-2)
"""


def space(line: str) -> Space:
    (found,) = read(f"[search_space]\n{line}\n").search_space
    return found


def mistake(line: str) -> str:
    (found,) = mistakes(f"[search_space]\n{line}\n")
    return found


def test_the_notes_search_is_read_in_its_order() -> None:
    assert read(NOTES).search_space == (
        Space("hyper_params", "epochs", "randint", (5, 20)),
        Space("hyper_params", "batch_size", "choice", texts=("32", "64", "128")),
        Space("hyper_params", "learning_rate", "loguniform", (1e-4, 1e-2)),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("model.dropout = uniform(0, 0.5)", Space("model", "dropout", "uniform", (0, 0.5))),
        ("model.dropout = quniform(0, 0.5, 0.1)", Space("model", "dropout", "quniform", (0, 0.5, 0.1))),
        ("hyper_params.batch_size = quniform(16, 64, 16)", Space("hyper_params", "batch_size", "quniform", (16, 64, 16))),
        ("hyper_params.lr = LogUniform( 1e-4 , 0.1 )", Space("hyper_params", "learning_rate", "loguniform", (1e-4, 0.1))),
        ("model.name = grid(resnet18, convnext_tiny)", Space("model", "name", "grid", texts=("resnet18", "convnext_tiny"))),
        ("data.image_size = choice('64, 96', 128)", Space("data", "image_size", "choice", texts=("64, 96", "128"))),
        ('model.unfreeze = choice("", "2: layer4, 3: all")', Space("model", "unfreeze", "choice", texts=("", "2: layer4, 3: all"))),
        (
            "augmentation.train = choice(HorizontalFlip(p=0.5), 'Affine(scale=(0.9, 1.1))')",
            Space("augmentation", "train", "choice", texts=("HorizontalFlip(p=0.5)", "Affine(scale=(0.9, 1.1))")),
        ),
    ],
)
def test_every_form_is_understood_and_printed_so_that_it_reads_back(line: str, expected: Space) -> None:
    assert space(line) == expected
    config = read(f"[search_space]\n{line}\n")
    assert read(to_ini(config)) == config == read(to_ini(config, help=False))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hyper_params.epochs = 10", "expected uniform(low, high), loguniform(low, high), randint(low, high), quniform(low, high, step),"
         " choice(a, b, ...) or grid(a, b, ...), got '10'"),
        ("hyper_params.learning_rate = logunifrom(1e-4, 1e-2)", "got 'logunifrom(1e-4, 1e-2)' (did you mean loguniform?)"),
        ("hyper_params.epochs = randint(0, 10)", "expected ends that are each an integer >= 1 and <= 1000000, and '0' is none"),
        ("hyper_params.learning_rate = loguniform(1e-4, -1)", "expected ends that are each a number > 0"),
        ("model.dropout = uniform(0, 1)", "expected ends that are each a number >= 0 and < 1, and '1' is none"),
        ("hyper_params.epochs = uniform(1, 10)", "expected randint(low, high), quniform(low, high, step) or choice(...), since the"
         " option takes whole numbers"),
        ("hyper_params.learning_rate = uniform(0.1, 0.01)", "expected a low end below the high one in uniform(...)"),
        ("hyper_params.weight_decay = loguniform(0, 0.1)", "expected ends above 0 in loguniform(...)"),
        ("hyper_params.learning_rate = uniform(0.1)", "expected uniform(low, high), got"),
        ("hyper_params.learning_rate = uniform(a, b)", "expected ends that are each a number, and 'a' is none"),
        ("hyper_params.learning_rate = uniform(nan, inf)", "expected ends that are each a number > 0"),
        ("hyper_params.epochs = quniform(1, 10, 2.5)", "expected a step above 0 in quniform(...), a whole one"),
        ("hyper_params.momentum = quniform(0, 0.5, inf)", "expected a step above 0 in quniform(...)"),
        ("hyper_params.momentum = quniform(0, 0.5, nan)", "expected a step above 0 in quniform(...)"),
        ("hyper_params.epochs = quniform(1, 10, 2)", "expected ends that are multiples of the step in quniform(...)"),
        ("hyper_params.scheduler = randint(1, 2)", "expected choice(...) or grid(...), since the option takes one of constant"),
        ("hyper_params.scheduler = choice(cosine, cosin)", "expected values that are each one of constant, cosine, step, onecycle, plateau,"
         " and 'cosin' is none"),
        ("hyper_params.batch_size = choice(64, 64)", "expected different values, and 64 stands there twice"),
        ("model.ema_decay = choice(0, 0.0)", "expected different values, and 0.0 stands there twice"),
        ("hyper_params.batch_size = choice()", "expected values in choice(...)"),
        ("model.name = choice('resnet18, b)", "expected quotes and brackets that are closed"),
        ("learning_rate = loguniform(1e-4, 1e-2)", "expected section.option = ..., got 'learning_rate' (did you mean"
         " hyper_params.learning_rate?)"),
        ("hyper_params.learning_rat = uniform(1e-4, 1e-2)", "unknown option (did you mean learning_rate?)"),
        ("split.folds = choice(3, 5)", "cannot be searched: all trials have the same folds"),
        ("settings.seed = randint(1, 9)", "cannot be searched: the folds follow from it, and all trials have the same"),
        ("hyper_params.metric = choice(accuracy, log_loss)", "cannot be searched: trials are compared by it"),
        ("data.train_csv = choice(a.csv, b.csv)", "cannot be searched: all trials have the same samples"),
        ("settings.num_workers = randint(0, 2)", "cannot be searched: what a model learns does not depend on it"),
    ],
)  # fmt: skip
def test_what_no_trial_could_have_is_refused_with_what_was_expected(line: str, told: str) -> None:
    found = mistake(line)
    assert found.startswith("config.ini:2 [search_space] ") and told in found


def test_every_mistake_is_told_at_once_each_on_its_line() -> None:
    text = "[search_space]\nhyper_params.epochs = randint(0, 3)\n[hyper_params]\nbatch_size = 0\n[search_spaces]\na.b = 1\n"
    found = mistakes(text)
    assert [line.split(":")[1].split(" ")[0] for line in found] == ["5", "2", "4"]
    assert "(did you mean search_space?)" in found[0]


def test_an_override_sets_no_space() -> None:
    (line,) = mistakes(NOTES, "search_space.hyper_params.epochs=randint(1, 2)")
    assert line.startswith("override search_space.hyper_params.epochs: the search space stands in an INI")


def test_a_range_in_the_options_own_section_is_told_where_it_belongs() -> None:
    (line,) = mistakes("[hyper_params]\nepochs = randint(3, 8)\n")
    assert line.endswith("got 'randint(3, 8)'; to search it: [search_space] hyper_params.epochs = randint(3, 8)")
    (line,) = mistakes("[split]\nfolds = randint(3, 8)\n")
    assert line.endswith("got 'randint(3, 8)'")


def test_a_later_file_changes_a_space_or_takes_it_away() -> None:
    write(NOTES)
    write("[search_space]\nhyper_params.epochs =\nhyper_params.lr_rate = uniform(0.1, 0.2)\n", "more.ini")
    config, _ = read_config(["config.ini", "more.ini"])
    assert [str(each) for each in config.search_space] == ["choice(32, 64, 128)", "uniform(0.1, 0.2)"]


def test_what_is_searched_is_what_is_learnt_from_and_never_what_trials_are_compared_on() -> None:
    searched = {(o.section, o.name) for options in OPTIONS.values() for o in options.values() if why_not_searched(o) is None}
    assert {("hyper_params", "epochs"), ("model", "name"), ("augmentation", "preset"), ("data", "image_size")} <= searched
    assert not {("settings", "seed"), ("settings", "debug"), ("hyper_params", "metric"), ("data", "source")} & searched
    assert not any(section in ("split", "logging", "tuning", "compute") for section, _ in searched)


def test_a_config_without_a_search_prints_none() -> None:
    assert "[search_space]" not in to_ini(Config()) and "[tuning]" in to_ini(Config())

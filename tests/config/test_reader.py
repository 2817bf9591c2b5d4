"""INI files and overrides to one Config: what is understood, what is refused, and how mistakes are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.config.errors import ConfigError
from modules.config.printer import to_ini
from modules.config.reader import read_config
from modules.config.schema import OPTIONS, Config
from modules.config.values import ClassWeights, Size, Unfreezing

NOTES = """\
[settings]
debug = False
gpu = True
log_path = ./log
data_path = ./data

[hyper_params]
epoch = 10,
batch_size = 64,
lr_rate = 0.001,
"""


def write(text: str | bytes, name: str = "config.ini") -> str:
    """Writes an INI where the test stands, line ends as they are, and returns its name."""
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def read(text: str | bytes, *overrides: str) -> Config:
    config, warnings = read_config([write(text)], overrides)
    assert warnings == []
    return config


def mistakes(text: str | bytes, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_config([write(text)], overrides)
    return caught.value.lines


def read_or_mistakes(paths: list[str], overrides: list[str] | None = None) -> tuple[Config | None, list[str]]:
    """The config and its warnings, or None and the mistakes."""
    try:
        return read_config(paths, overrides or [])
    except ConfigError as error:
        return None, list(error.lines)


def test_an_empty_file_gives_the_defaults() -> None:
    assert read("") == Config()


def test_every_mistake_of_a_file_is_reported_at_once_with_its_line() -> None:
    text = "\n".join(
        (
            "[settings]",
            "seeed = 1",
            "gpu = maybe",
            "; a comment",
            "",
            "[hyper_parms]",
            "epochs = 3",
            "[hyper_params]",
            "epochs = 10.5",
            "metric = acuracy",
            "momentum = 1",
            "[data]",
            "image_size = 4",
        )
    )
    assert set(mistakes(text, "split.folds=1", "model.nam=x")) == {
        "config.ini:2 [settings] seeed: unknown option (did you mean seed?)",
        "config.ini:3 [settings] gpu: expected true or false, got 'maybe'",
        f"config.ini:6 [hyper_parms]: unknown section (did you mean hyper_params?); there are {', '.join(OPTIONS)}, search_space",
        "config.ini:9 [hyper_params] epochs: expected an integer >= 1 and <= 1000000, got '10.5'",
        "config.ini:10 [hyper_params] metric: expected one of auto, accuracy, f1, macro_f1, micro_f1, samples_f1, balanced_accuracy, "
        "macro_recall, log_loss, roc_auc, average_precision, map, kl, qwk, rmse, mae or package.module:name, code of your own,"
        " got 'acuracy' (did you mean accuracy?)",
        "config.ini:11 [hyper_params] momentum: expected a number >= 0 and < 1, got '1'",
        "config.ini:13 [data] image_size: expected N or H, W, integers >= 8 and <= 8192, got '4'",
        "override split.folds: expected an integer >= 2 and <= 1000, got '1'",
        "override model.nam: unknown option (did you mean name?)",
    }


def test_mistakes_of_several_files_are_told_with_the_file_that_has_them() -> None:
    files = [write("[settings]\nseed = x\n", "a.ini"), write("\n\n[settings]\nseed = y\n", "b.ini")]
    with pytest.raises(ConfigError) as caught:
        read_config(files)
    expected = "expected an integer >= 0 and <= 4294967295, got"
    assert caught.value.lines == (f"a.ini:2 [settings] seed: {expected} 'x'", f"b.ini:4 [settings] seed: {expected} 'y'")


def test_an_option_in_the_wrong_section_is_told_its_own() -> None:
    assert mistakes("[settings]\nepochs = 3\n") == ("config.ini:2 [settings] epochs: unknown option; it belongs in [hyper_params]",)


def test_an_old_spelling_in_the_wrong_section_is_an_unknown_option() -> None:
    (line,) = mistakes("[settings]\nlr_rate = 3\n")
    assert line.startswith("config.ini:2 [settings] lr_rate: unknown option")


def test_a_word_like_no_other_is_told_what_there_is() -> None:
    has = "engine, address, parallel_folds, cpus_per_fold, gpus_per_fold, threads, sync_batchnorm"
    assert mistakes("[compute]\nqqqqqq = 3\n") == (f"config.ini:2 [compute] qqqqqq: unknown option; [compute] has {has}",)


def test_a_misspelt_option_of_another_section_is_found_there() -> None:
    (line,) = mistakes("[compute]\nlearning_rat = 3\n")
    assert line == "config.ini:2 [compute] learning_rat: unknown option (did you mean learning_rate in [hyper_params]?)"


def test_a_default_section_is_refused_on_its_line() -> None:
    (line,) = mistakes("[settings]\nseed = 1\n[DEFAULT]\nseed = 2\n")
    assert line.startswith("config.ini:3 [DEFAULT]: a section that applies to all others is not used")


def test_a_section_whose_name_is_a_null_character_is_no_hidden_default_section() -> None:
    (line,) = mistakes("[\0]\nseed = 5\n[settings]\ngpu = false\n")
    assert "unknown section" in line


def test_an_option_that_stands_twice_is_refused_with_both_lines() -> None:
    assert mistakes("[settings]\nseed = 1\ngpu = false\nSEED = 2\n") == ("config.ini:4 [settings] seed: stands at line 2 already",)


def test_a_section_that_stands_twice_is_refused_with_both_lines() -> None:
    assert mistakes("[settings]\nseed = 1\n[data]\n[settings]\ngpu = false\n") == (
        "config.ini:4 [settings]: this section stands at line 1 already",
    )


def test_options_before_the_first_section_are_told_together_with_the_other_mistakes() -> None:
    assert mistakes("; comment\nseed = 1\ngpu = true\n[settings]\nsede = 2\n") == (
        "config.ini:2: expected a [section] before 'seed = 1'",
        "config.ini:3: expected a [section] before 'gpu = true'",
        "config.ini:5 [settings] sede: unknown option (did you mean seed?)",
    )


@pytest.mark.parametrize("text", ["seed = 1\n", "[]\nseed = 1\n"])
def test_a_file_without_any_section_is_refused(text: str) -> None:
    assert mistakes(text)[0].startswith("config.ini:1: expected a [section] before ")


@pytest.mark.parametrize("text", [" [settings]\n seed = 7\n", "  [settings]\nseed = 7\n", "\t[settings]\n\tseed = 7\n[data]\n"])
def test_an_indented_section_is_read_or_refused_and_never_passed_over(text: str) -> None:
    config, lines = read_or_mistakes([write(text)])
    if config is None:
        assert lines[0].startswith("config.ini:1")
    else:
        assert config.settings.seed == 7


def test_an_option_without_a_value_is_refused_on_its_line() -> None:
    assert mistakes("[settings]\nseed\ngpu = false\n") == ("config.ini:2 [settings] seed: expected 'option = value', got 'seed'",)


def test_an_option_without_equals_sign_whose_value_is_on_the_next_line_is_refused_on_its_line() -> None:
    (line,) = mistakes("[settings]\nseed\n   42\n")
    assert line.startswith("config.ini:2")


def test_a_value_without_an_option_is_refused_with_its_line() -> None:
    (line,) = mistakes("[settings]\n= 5\n")
    assert line.startswith("config.ini") and "2" in line and "'= 5'" in line


def test_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    text = "[settings]\nseed = 7\n[augmentation]\ntrain =\n    HorizontalFlip(p=0.5)\n    VerticalFlip(p=0.1)\n"
    plain = read(text)
    assert plain.settings.seed == 7 and plain.augmentation.train is not None and len(plain.augmentation.train.calls) == 2
    assert read(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) == plain


def test_lines_that_end_in_a_carriage_return_alone_are_lines() -> None:
    text = "[settings]\n; old Macs\nseed = 7\n"
    assert read(text.replace("\n", "\r").encode()) == read(text)
    assert list(mistakes("[settings]\r; x\rseed = a\r[sittings]\r")) == [
        f"config.ini:4 [sittings]: unknown section (did you mean settings?); there are {', '.join(OPTIONS)}, search_space",
        "config.ini:3 [settings] seed: expected an integer >= 0 and <= 4294967295, got 'a'",
    ]


def test_line_numbers_are_right_with_windows_line_ends() -> None:
    (line,) = mistakes("[settings]\r\n\r\n; x\r\nseed = a\r\n")
    assert line.startswith("config.ini:4 [settings] seed: ")


@pytest.mark.parametrize("character", ["\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_end_lines_so_that_the_rest_of_a_comment_is_never_read(character: str) -> None:
    config = read(f"[settings]\n; an old value{character}seed = 7\n")
    assert config.settings.seed == 42
    assert read(f"[settings]\n; x{character}y\nseed = 7\n").locate("settings", "seed") == "config.ini:3 [settings] seed"


def test_a_file_that_is_not_utf_8_is_refused_with_the_byte() -> None:
    assert mistakes("[settings]\nlog_path = Läufe\n".encode("latin-1")) == (
        "config.ini: expected UTF-8 text, got byte 0xe4 at position 23",
    )


def test_names_in_any_script_are_read() -> None:
    assert read("[settings]\nlog_path = 실험/تجربة 😀\n").settings.log_path == "실험/تجربة 😀"


def test_inline_comments_end_a_value_only_after_white_space() -> None:
    config = read("[settings]\nseed = 7 ; why\ngpu = false\t# why\nlog_path = a;b#c\n# gpu = true\n; gpu = true\n")
    assert (config.settings.seed, config.settings.gpu, config.settings.log_path) == (7, False, "a;b#c")


def test_percent_signs_and_references_are_plain_text() -> None:
    assert read("[settings]\nlog_path = 50%%(x)s ${y}\n").settings.log_path == "50%%(x)s ${y}"


def test_option_names_do_not_depend_on_case_and_a_colon_may_stand_for_the_equals_sign() -> None:
    config = read("[settings]\nSeed: 7\n[hyper_params]\nEpoch = 3\n")
    assert (config.settings.seed, config.hyper_params.epochs) == (7, 3)


def test_a_pipeline_over_several_lines_may_have_comments_and_blank_lines() -> None:
    lines = ("    ; first", "    HorizontalFlip(p=0.5)  ; mirror", "", "    Affine(", "        rotate=(-15, 15),", "    )", "preset = none")
    pipeline = read("\n".join(("[augmentation]", "train =", *lines))).augmentation.train
    assert str(pipeline) == "HorizontalFlip(p=0.5)\nAffine(rotate=(-15, 15))"


def test_a_further_line_of_a_pipeline_that_is_not_indented_is_told_so() -> None:
    (line,) = mistakes("[augmentation]\ntrain =\n    HorizontalFlip(p=0.5)\nVerticalFlip(p=0.5)\n")
    assert line.startswith("config.ini:4 [augmentation] ") and line.endswith("unknown option; further lines of a value are indented")


@pytest.mark.parametrize("option", ["train", "valid"])
def test_a_blank_pipeline_is_the_same_as_none_given(option: str) -> None:
    assert read(f"[augmentation]\n{option} =\n") == Config()
    assert read(f"[augmentation]\n{option} =    ; nothing yet\n    ; nothing here\n") == Config()
    assert read("", f"augmentation.{option}=") == Config()


def test_blank_stands_for_none_only_where_none_is_possible() -> None:
    assert read("[data]\ngroup_column =\n").data.group_column is None
    assert mistakes("[data]\ntrain_csv =\n") == ("config.ini:2 [data] train_csv: expected some text, got ''",)


def test_the_ini_of_the_reference_notes_runs_as_it_stands_with_a_warning_a_comma() -> None:
    config, warnings = read_config([write(NOTES, "notes.ini")])
    assert (config.settings.debug, config.settings.gpu, config.settings.log_path, config.settings.data_path) == (
        False,
        True,
        "./log",
        "./data",
    )
    assert (config.hyper_params.epochs, config.hyper_params.batch_size, config.hyper_params.learning_rate) == (10, 64, 0.001)
    assert warnings == [
        "notes.ini:8 [hyper_params] epoch: the comma after '10,' is dropped",
        "notes.ini:9 [hyper_params] batch_size: the comma after '64,' is dropped",
        "notes.ini:10 [hyper_params] lr_rate: the comma after '0.001,' is dropped",
    ]


def test_only_one_comma_is_dropped() -> None:
    (line,) = mistakes("[hyper_params]\nepoch = 10,,\n")
    assert line == "config.ini:2 [hyper_params] epoch: expected an integer >= 1 and <= 1000000, got '10,,'"


def test_a_list_may_end_with_a_comma_but_has_no_blank_elements() -> None:
    assert read("[model]\nfreeze = conv1, layer1,\n").model.freeze == ("conv1", "layer1")
    (line,) = mistakes("[model]\nfreeze = conv1,, layer1\n")
    assert line.startswith("config.ini:2 [model] freeze: expected ") and line.endswith("got 'conv1,, layer1'")


@pytest.mark.parametrize("word", ["none", "backbone"])
def test_a_comma_behind_a_choice_does_not_make_it_a_list_of_something_else(word: str) -> None:
    config, _ = read_config([write(f"[model]\nfreeze = {word},\n")])
    assert config.model.freeze == word


def test_a_size_is_one_number_or_height_and_width() -> None:
    assert read("[data]\nimage_size = 48\n").data.image_size == Size(48, 48)
    size = read("[data]\nimage_size = 48, 96\n").data.image_size
    assert (size.height, size.width) == (48, 96)
    for text in ("48, 96, 3", "48x96", "48,", "", "48, a", "4, 96", "48, 9000"):
        if text != "48,":
            assert mistakes(f"[data]\nimage_size = {text}\n") == (
                f"config.ini:2 [data] image_size: expected N or H, W, integers >= 8 and <= 8192, got {text!r}",
            )


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("cat: 2, dog: 0.5", ClassWeights(("cat", "dog"), (2.0, 0.5))),
        ("2, 0.5, 1,", ClassWeights((), (2.0, 0.5, 1.0))),
        ("a: b : 1e-3", ClassWeights(("a: b",), (0.001,))),
        ("0: 1, 1: 2", ClassWeights(("0", "1"), (1.0, 2.0))),
        ("Balanced", "balanced"),
    ],
)
def test_class_weights_are_a_word_or_numbers_with_or_without_names(text: str, weights: object) -> None:
    assert read(f"[hyper_params]\nclass_weights = {text}\n").hyper_params.class_weights == weights


@pytest.mark.parametrize(
    "text", ["cat: 2, dog", "cat: 0", "cat: 2, cat: 1", "cat: -1", "cat: nan", "1, 0", ": 2", "cat: 2,, dog: 1", "cat", ""]
)
def test_class_weights_are_positive_one_for_each_name(text: str) -> None:
    expected = "expected one of none, balanced or a number > 0 a class, such as cat: 2, dog: 1"
    assert mistakes("", f"hyper_params.class_weights={text}") == (f"override hyper_params.class_weights: {expected}, got {text!r}",)


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("2: layer4, 4: layer3, 6: all", ((2, ("layer4",)), (4, ("layer3",)), (6, ("all",)))),
        ("2:blocks.11,norm , 10 : all,", ((2, ("blocks.11", "norm")), (10, ("all",)))),
        ("1: conv1", ((1, ("conv1",)),)),
    ],
)
def test_unfreezing_is_epochs_with_names_of_modules(text: str, stages: object) -> None:
    assert read(f"[model]\nfreeze = backbone\nunfreeze = {text}\n").model.unfreeze == Unfreezing(stages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["layer4", "2 layer4", "0: layer4", "2: layer4, 2: layer3", "4: a, 2: b", "2: a,, 3: b", "1.5: a", "2: a b", ": a", "x: a"],
)
def test_unfreezing_wants_rising_epochs_each_with_a_name(text: str) -> None:
    expected = "expected rising epochs with names of modules (such as 2: layer4, 4: layer3, 6: all) or blank"
    (line,) = mistakes("[model]\nfreeze = backbone\n", f"model.unfreeze={text}")
    assert line == f"override model.unfreeze: {expected}, got {text!r}"


def test_unfreezing_what_nothing_froze_too_early_or_too_late_is_told() -> None:
    assert mistakes("[model]\nunfreeze = 2: layer4\n") == (
        "config.ini:2 [model] unfreeze: nothing is frozen that could begin to train; set freeze, to backbone perhaps",
    )
    frozen = "[model]\nfreeze = backbone\nunfreeze = 2: layer4, 9: all\n[hyper_params]\nepochs = 8\n"
    assert mistakes(frozen) == ("config.ini:3 [model] unfreeze: epoch 9 is never reached: there are 8 epochs",)
    assert mistakes(f"{frozen}probe_epochs = 2\n") == (
        "config.ini:3 [model] unfreeze: the head is alone for 2 epochs, as probe_epochs says; begin later than 2",
    )
    assert read(f"{frozen}probe_epochs = 1\n").hyper_params.probe_epochs == 1


def test_a_misspelt_word_for_class_weights_is_told_the_right_one() -> None:
    (line,) = mistakes("[hyper_params]\nclass_weights = balancd\n")
    assert line.startswith("config.ini:2 [hyper_params] class_weights: expected ")
    assert line.endswith("got 'balancd' (did you mean balanced?)")


@pytest.mark.parametrize("option", ["mixup", "cutmix"])
def test_images_of_batches_of_one_cannot_be_mixed(option: str) -> None:
    assert mistakes(f"[augmentation]\n{option} = 0.2\n[hyper_params]\nbatch_size = 1\n") == (
        f"config.ini:2 [augmentation] {option}: images of one batch are blended, and batch_size is 1; use 2 or more",
    )


@pytest.mark.parametrize(("old", "new"), [("epoch", "epochs"), ("lr_rate", "learning_rate"), ("lr", "learning_rate")])
def test_old_spellings_are_understood(old: str, new: str) -> None:
    config = read(f"[hyper_params]\n{old} = 7\n")
    assert getattr(config.hyper_params, new) == 7
    assert config.locate("hyper_params", new) == f"config.ini:2 [hyper_params] {new}"


def test_both_spellings_at_once_are_refused() -> None:
    assert mistakes("[hyper_params]\nepoch = 3\nepochs = 3\n", "hyper_params.lr=1", "hyper_params.learning_rate=1") == (
        "config.ini:3 [hyper_params] epochs: the same as epoch, which is set too; keep one",
        "override hyper_params.learning_rate: the same as lr, which is set too; keep one",
    )


def test_an_override_may_use_another_spelling_than_the_file() -> None:
    assert read("[hyper_params]\nepoch = 3\n", "hyper_params.epochs=4").hyper_params.epochs == 4


def test_later_files_win_option_by_option_and_overrides_win_over_files() -> None:
    files = [write("[settings]\nseed = 1\nrun_name = a\nlog_path = x\n", "a.ini"), write("[settings]\nseed = 2\nrun_name = b\n", "b.ini")]
    config, _ = read_config(files, ["settings.seed=3"])
    assert (config.settings.seed, config.settings.run_name, config.settings.log_path) == (3, "b", "x")
    assert config.locate("settings", "seed") == "override settings.seed"
    assert config.locate("settings", "run_name") == "b.ini:3 [settings] run_name"
    assert config.locate("settings", "log_path") == "a.ini:4 [settings] log_path"
    assert config.locate("settings", "gpu") == "default [settings] gpu"


def test_a_wrong_value_is_a_mistake_even_where_an_override_wins_over_it() -> None:
    (line,) = mistakes("[settings]\nseed = x\n", "settings.seed=3")
    assert line.startswith("config.ini:2 [settings] seed: ")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "NaN", "Infinity", "1e999", "0x10", "1_0", "1,0", "\u0661", "", "1e", "--1", "1 0"])
def test_a_number_is_finite_and_plain(text: str) -> None:
    (line,) = mistakes("", f"hyper_params.weight_decay={text}")
    assert line == f"override hyper_params.weight_decay: expected a number >= 0 and <= 100, got {text!r}"


@pytest.mark.parametrize(
    ("option", "inside", "outside"),
    [
        ("hyper_params.learning_rate", ("1e-12", "1000"), ("0", "-1", "1000.0001")),
        ("hyper_params.momentum", ("0", "0.999"), ("1", "-0.0001")),
        ("hyper_params.epochs", ("1", "1000000"), ("0", "1000001", "-3", "1.0")),
        ("settings.seed", ("0", "4294967295"), ("-1", "4294967296")),
        ("split.folds", ("2", "1000"), ("1", "1001")),
        ("data.mean", ("0", "1", "0.1, 0.2, 0.3"), ("-0.1", "1.1", "0.1, 0.2, 1.3")),
        ("data.std", ("0.001", "1"), ("0", "0.5, 0, 0.5")),
    ],
)
def test_bounds_hold_at_their_ends(option: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    for text in inside:
        read("", f"{option}={text}")
    for text in outside:
        (line,) = mistakes("", f"{option}={text}")
        assert line.startswith(f"override {option}: expected ") and line.endswith(f"got {text!r}")


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("yes", True), ("True", True), ("ON", True), ("0", False), ("no", False), ("FALSE", False)]
)
def test_booleans_are_those_of_configparser(text: str, value: bool) -> None:
    assert read(f"[settings]\ngpu = {text}\n").settings.gpu is value
    assert read(f"[settings]\nchannels_last = {text}\n").settings.channels_last is value


def test_choices_do_not_depend_on_case() -> None:
    assert read("[data]\nresize = Crop\n").data.resize == "crop"


def test_options_that_contradict_each_other_are_told_where_they_stand() -> None:
    assert mistakes(
        "[hyper_params]\nepochs = 3\nwarmup_epochs = 3\n[data]\nmean = 0.5, 0.5\ntask = ordinal\nlabel_columns = a, b\nsource = csv\n"
    ) == (
        "config.ini:3 [hyper_params] warmup_epochs: expected fewer than epochs (3), got '3'",
        "config.ini:5 [data] mean: expected 3 numbers, as data.channels says, got 2",
        "config.ini:7 [data] label_columns: expected one column for task = ordinal, got 2",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[data]\nsource = torchvision\n",
            "default [data] dataset: source = torchvision needs the name of a data set, such as FashionMNIST",
        ),
        ("[data]\ndataset = MNIST\n", "config.ini:2 [data] dataset: only source = torchvision has one, and source is digits"),
        (
            "[data]\nsource = torchvision\ndataset = MNIST\nextra_csv = more.csv\n",
            "config.ini:4 [data] extra_csv: the images of source = torchvision are no files; use csv or folder",
        ),
        (
            "[data]\nsource = folder\n[split]\nmethod = predefined\nfold_column = part\n",
            "config.ini:5 [split] fold_column: a column of train_csv, and source = folder has no table of training samples; use csv",
        ),
        (
            "[data]\nsource = folder\nimage_column = file\n",
            "config.ini:3 [data] image_column: a column of a table, and source = folder reads none with images",
        ),
        (
            "[data]\nsource = torchvision\ndataset = MNIST\nsample_submission = template.csv\n",
            "config.ini:4 [data] sample_submission: source = torchvision reads no template: its submissions have the columns id and label",
        ),
        ("[data]\nextra_images = more\n", "config.ini:2 [data] extra_images: nothing is read from there without extra_csv"),
        (
            "[data]\nsource = folder\nlabel_pattern = (?P<label>cat\n",
            "config.ini:3 [data] label_pattern: expected a regular expression; missing ), unterminated subpattern at position 0:"
            " '(?P<label>cat'",
        ),
        (
            "[data]\nsource = folder\nlabel_pattern = (?P<lable>cat|dog)\n",
            r"config.ini:3 [data] label_pattern: expected a group named label, such as ^(?P<label>cat|dog)\., got '(?P<lable>cat|dog)'",
        ),
        (
            "[data]\nlabel_pattern = (?P<label>cat|dog)\n",
            "config.ini:2 [data] label_pattern: a pattern over the paths of source = folder, and source is digits",
        ),
        (
            "[data]\nsource = folder\nlabel_pattern = (?P<label>cat|dog)\nlabel_columns = a, b\n",
            "config.ini:4 [data] label_columns: label_pattern finds one label an image, and no columns",
        ),
        ("[data]\npixel_size = 28\n", "config.ini:2 [data] pixel_size: only the pixels of pixel_columns have it, which is blank"),
        (
            "[data]\ntest_csv = t.csv\npixel_columns = pixel\n",
            "config.ini:3 [data] pixel_columns: columns of the tables of source = csv, and source is digits",
        ),
        (
            "[data]\nsource = csv\npixel_columns = pixel\n",
            "default [data] test_csv: pixel_columns needs the table that holds the pixels of the test images, such as test.csv",
        ),
        (
            "[data]\nsource = csv\ntest_csv = t.csv\npixel_columns = pixel\nimage_column = path\n",
            "config.ini:5 [data] image_column: is about files, and with pixel_columns the tables hold the images",
        ),
        (
            "[data]\nchannels = 4\n",
            "config.ini:2 [data] channels: images have 1 or 3; four are read from four files, which channel_suffixes names",
        ),
        (
            "[data]\nsource = csv\nchannel_suffixes = _red, _green\n",
            "config.ini:3 [data] channel_suffixes: 2 of them, a channel each, and channels = 3",
        ),
        (
            "[data]\nsource = csv\nchannel_suffixes = _red, _green, _red\n",
            "config.ini:3 [data] channel_suffixes: expected different ones, got '_red, _green, _red'",
        ),
        (
            "[data]\nsource = folder\nchannel_suffixes = _red, _green, _blue\n",
            "config.ini:3 [data] channel_suffixes: goes with source = csv, and source is folder",
        ),
        ("[data]\npseudo_threshold = 0.9\n", "config.ini:2 [data] pseudo_threshold: nothing is compared with it without pseudo_labels"),
        ("[split]\nmethod = predefined\n", "default [split] fold_column: method = predefined needs the column of train_csv with the folds"),
        ("[split]\nfold_column = fold\n", "config.ini:2 [split] fold_column: only method = predefined reads it, and method is auto"),
        ("[split]\nholdout = 0.3\n", "config.ini:2 [split] holdout: only method = holdout reads it, and method is auto"),
        ("[split]\nmethod = none\nrepeats = 2\n", "config.ini:3 [split] repeats: method = none can be done in one way only; use 1"),
        ("[split]\nepochs_from = latest\n", "config.ini:2 [split] epochs_from: only method = none reads it, and method is auto"),
        (
            "[split]\nmethod = none\n[hyper_params]\nscheduler = plateau\n",
            "config.ini:4 [hyper_params] scheduler: plateau follows the validation's score, and method = none has no validation",
        ),
        (
            "[data]\nsource = csv\ntask = multioutput\nlabel_columns = a, b\n[split]\nmethod = stratified\n",
            "config.ini:6 [split] method: stratified needs one class an image, or a number; use multilabel_stratified",
        ),
        (
            "[split]\nmethod = multilabel_stratified\n",
            "config.ini:2 [split] method: multilabel_stratified goes with task = multilabel and multioutput, and task is multiclass;"
            " use stratified",
        ),
        (
            "[data]\nsource = csv\ntask = regression\ntarget_range = none\n[hyper_params]\nloss = bce\n",
            "config.ini:4 [data] target_range: loss = bce learns where a number lies in its range; use auto, or low, high",
        ),
        (
            "[data]\nsource = csv\ntask = regression\n[hyper_params]\nloss = bce\nlabel_smoothing = 0.1\n",
            "config.ini:6 [hyper_params] label_smoothing: a loss of numbers has no classes to smooth; use 0",
        ),
        (
            "[data]\nimage_size = 32, 48\n[inference]\ntta = d4\n",
            "config.ini:4 [inference] tta: d4 turns images by a quarter, and image_size is 32, 48; use a square one, or hvflip",
        ),
    ],
)
def test_an_option_that_another_one_leaves_without_a_meaning_is_refused(text: str, told: str) -> None:
    assert mistakes(text) == (told,)


def test_a_value_that_cannot_be_read_is_not_compared_as_if_it_were_the_default() -> None:
    assert mistakes("[hyper_params]\nepochs = 2O\nwarmup_epochs = 12\n") == (
        "config.ini:2 [hyper_params] epochs: expected an integer >= 1 and <= 1000000, got '2O'",
    )


def test_long_values_are_cut_in_messages() -> None:
    (line,) = mistakes("", "settings.seed=" + "9" * 5000)
    assert len(line) < 200 and line.endswith("...'")


@pytest.mark.parametrize(
    "option", ["settings.run_name", "settings.log_path", "data.train_images", "data.group_column", "hyper_params.epochs"]
)
@pytest.mark.parametrize("text", ["a\0b", "a\rseed = 7", "z\udcff"])
def test_text_that_no_ini_gives_back_is_refused(option: str, text: str) -> None:
    """A run's own config.ini would say something else, or name a file that no system has."""
    with pytest.raises(ConfigError) as caught:
        read_config([], [f"{option}={text}"])
    (line,) = caught.value.lines
    assert line.startswith(f"override {option}: expected text without NUL") and line.isprintable()
    if "\0" in text:
        section, name = option.split(".")
        Path("a.ini").write_text(f"[{section}]\n{name} = {text}\n")
        with pytest.raises(ConfigError, match="text without NUL"):
            read_config(["a.ini"])


@pytest.mark.parametrize("override", ["settings", "settings.seed", "seed=1", "=1"])
def test_an_override_has_a_section_an_option_and_a_value(override: str) -> None:
    assert mistakes("", override) == (f"override {override}: expected section.option=value",)


def test_a_missing_file_is_told_with_the_nearest_name() -> None:
    write("", "config.ini")
    with pytest.raises(ConfigError, match=re.escape("confg.ini: no such INI file (did you mean config.ini?)")):
        read_config(["confg.ini"])


def test_a_folder_in_the_place_of_a_file_is_one_line() -> None:
    Path("folder.ini").mkdir()
    with pytest.raises(ConfigError, match=r"^folder\.ini: cannot be read: Is a directory$"):
        read_config(["folder.ini"])


@pytest.mark.parametrize(
    "override",
    [
        "settings.data_path=/data/contest #2",
        "settings.data_path=a ;b",
        "settings.data_path=#a",
        "settings.run_name=;x",
        "settings.run_name=a\nb",
        "data.label_columns=a #b",
        "augmentation.train=Text(x='a #b')",
        "augmentation.train=Text(x='a ;b')",
    ],
)
def test_a_value_that_an_ini_cannot_hold_is_refused_or_kept_and_never_cut(override: str) -> None:
    """A run's own config.ini is written from the resolved Config; inference and --resume believe it."""
    config, lines = read_or_mistakes([], [override])
    if config is None:
        assert lines[0].startswith(f"override {override.partition('=')[0]}: ")
    else:
        assert read(to_ini(config, help=False)) == config


FRAGMENTS = st.sampled_from(
    [
        *(f"[{section}]" for section in ("settings", "data", "model", "augmentation", "hyper_params", "DEFAULT", "nothing", "")),
        *(
            "seed = 1",
            "seed",
            "  42",
            "= 3",
            " [data]",
            "; c",
            "  # c",
            "gpu : yes",
            "epoch = 3,",
            "epochs = 4",
            "lr = 1e-3",
            "mean = auto,",
        ),
        *(
            "train =",
            "train = Foo(x=1)",
            "    Foo(x={[1]: 2})",
            "    Foo(p=(1,",
            "    2))",
            "valid = x",
            "freeze = backbone,",
            "image_size = 8,9",
        ),
        *(
            "label_columns = a, b",
            "run_name = a ; b",
            "channels = 1",
            "warmup_epochs = 1e3",
            "\t",
            "\x0c",
            "\ufeff",
            "[settings] ; c",
            "][",
        ),
    ]
)
WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
EXAMPLES = settings(max_examples=300, deadline=None, database=None, derandomize=True)


@EXAMPLES
@given(lines=st.lists(FRAGMENTS | WORDS, max_size=8), end=st.sampled_from(["\n", "\r\n"]))
def test_any_text_is_a_config_that_reads_back_or_mistakes_of_one_line_each(lines: list[str], end: str) -> None:
    name = write(end.join(lines), "random.ini")
    config, lines = read_or_mistakes([name])
    assert all(line and "\n" not in line for line in lines)
    if config is None:
        assert lines
    else:
        assert read_config([write(to_ini(config), "again.ini")]) == (config, [])


TARGETS = st.sampled_from([f"{section}.{name}" for section, options in OPTIONS.items() for name in options])
VALUES = st.one_of(
    WORDS.filter(lambda text: "\n" not in text and "\r" not in text),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["auto", "none", "true", "a, b", ",", "Foo(p=1)", "Foo(x={[]: 1})", "Foo(*a)", "[", "None", "1e999", "latest,"]),
)


@EXAMPLES
@given(overrides=st.lists(st.builds("{}={}".format, TARGETS | WORDS, VALUES), max_size=3))
def test_any_overrides_are_a_config_that_reads_back_or_mistakes(overrides: list[str]) -> None:
    config, lines = read_or_mistakes([], overrides)
    if config is None:
        assert lines and all(lines)
    else:
        assert read_config([write(to_ini(config), "again.ini")]) == (config, [])


def test_an_unknown_class_has_no_place_in_an_order() -> None:
    text = "[inference]\nunknown_class = Other\nunknown_below = 0.5\n[hyper_params]\nmetric = qwk\n"
    (line,) = mistakes(text)
    assert line.startswith("config.ini:2 [inference] unknown_class: a class that is unknown has no place in an order")

"""What is printed reads back as the same Config: every option, every kind of value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from modules.config.own_code import OwnCode
from modules.config.pipeline import Pipeline
from modules.config.printer import to_ini, to_markdown
from modules.config.reader import read_config
from modules.config.schema import OPTIONS, SECTIONS, Config, Option
from modules.config.values import Bounds, ClassWeights, Size, Unfreezing, format_value, parse_value

ALL = [option for options in OPTIONS.values() for option in options.values()]
SOME_TEXT = (
    "plain",
    "two words",
    "50% of ${x}",
    "a;b#c",
    "a=b: c",
    "폴더/مجلد/😀",
    "C:\\data\\new",
    "'quoted'",
    '"q"',
    "None",
    "007",
    "a, b",
)
SOME_CALLS = (
    "HorizontalFlip(p=0.5)",
    "my_code:Lines(gap=4)\nOneOf([a.b:c(x='d:e(f)'), Blur()], p=0.5)",
    "HorizontalFlip()\nOneOf([Blur(p=1.0), A(x=(1,), y='z', w=None)], p=0.25)\nFlip(-1, -1e-07, [[1]])",
)
# A list as long as another option says, or numbers.
TEXTS = {
    "class_weights": ("none", "balanced", "cat: 2, dog: 0.5", "1, 2.5, 1e-07", "a:b: 3"),
    "train_folds": ("all", "0", "3, 1"),
    "mean": ("auto", "0.1, 0.2, 0.3", "0.5"),
    "std": ("auto", "0.1, 0.25, 1.0", "0.5"),
    "label_pattern": (r"^(?P<label>cat|dog)\.", r"(?P<group>[^/]+)/.*_(?P<label>\w+);x#y$", "(?i)(?P<label>50%|${x})"),
    "metadata_columns": ("", "sex", "sex, age approx, 007"),
    "channel_suffixes": ("_red, _green, _blue", "-1, -2, -3"),
    "label_columns": SOME_TEXT[:5],
    "target_range": ("auto", "none", "1.0, 100.0", "-1e-07, 0.5"),
    "metric_weights": ("", "2, 1", "0.5, 1e-07"),
}
# What else must be set for an option, or one of its values, to make sense.
NEEDS: dict[tuple[str, str | None], list[str]] = {
    # An epoch count of 1 forbids no warm-up and a warm-up of many epochs wants more of them.
    ("warmup_epochs", None): ["hyper_params.epochs=1000000", "settings.debug=true"],
    **{("task", kind): ["data.source=csv"] for kind in ("ordinal", "regression")},
    ("task", "multilabel"): ["data.source=csv", "data.label_separator=space"],
    ("task", "multioutput"): ["data.source=csv", "data.label_columns=a, b"],
    ("label_separator", None): ["data.source=csv", "data.task=multilabel"],
    ("target_range", None): ["data.source=csv", "data.task=regression"],
    ("method", "multilabel_stratified"): ["data.source=csv", "data.task=multilabel", "data.label_separator=space"],
    **{("loss", name): ["data.source=csv", "data.task=regression"] for name in ("mse", "mae", "huber")},
    **{("metric", name): ["data.source=csv", "data.task=ordinal"] for name in ("rmse", "mae")},
    ("metric", "f1"): ["data.task=binary"],
    ("metric", "samples_f1"): ["data.source=csv", "data.task=multilabel", "data.label_separator=space"],
    ("metric_weights", None): ["data.source=csv", "data.task=multioutput", "data.label_columns=a, b"],
    ("head", "separate"): ["data.source=csv", "data.task=multioutput", "data.label_columns=a, b"],
    ("empty_labels", None): ["data.source=csv", "data.task=multilabel", "data.label_separator=space"],
    ("decision", "global"): ["data.task=binary"],
    ("unknown_below", None): ["inference.unknown_class=other"],
    ("source", "torchvision"): ["data.dataset=MNIST"],
    ("age_boundary", None): ["data.source=mask"],
    ("dataset", None): ["data.source=torchvision"],
    ("extra_images", None): ["data.extra_csv=extra.csv"],
    ("label_pattern", None): ["data.source=folder"],
    ("pseudo_threshold", None): ["data.pseudo_labels=submissions/predictions/x.csv"],
    ("pixel_columns", None): ["data.source=csv", "data.test_csv=test.csv"],
    ("pixel_size", None): ["data.source=csv", "data.test_csv=test.csv", "data.pixel_columns=pixel"],
    ("channels", "4"): ["data.source=csv", "data.channel_suffixes=_red, _green, _blue, _yellow"],
    ("metadata_columns", None): ["data.source=csv", "data.test_csv=test.csv"],
    ("channel_suffixes", None): ["data.source=csv"],
    ("method", "predefined"): ["split.fold_column=fold"],
    ("fold_column", None): ["split.method=predefined"],
    ("epochs_from", None): ["split.method=none"],
    ("holdout", None): ["split.method=holdout"],
    ("unfreeze", None): ["model.freeze=backbone"],
    ("feature_cache", "on"): ["model.freeze=backbone"],
}


def members_of(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) not in (Literal, tuple, None) else (kind,)


def texts_of(option: Option) -> list[str]:
    """Texts that the option must take: all choices, both ends of its bounds, some of everything else."""
    if option.name in TEXTS:
        return list(TEXTS[option.name])
    found: list[str] = []
    for kind in members_of(option.kind):
        if get_origin(kind) is Literal:
            found += [str(choice) for choice in get_args(kind)]
        elif kind is bool:
            found += ["true", "false"]
        elif kind in (int, float):
            found += numbers_of(kind, option.bounds)
        elif kind is Size:
            found += ["48", "48, 96", "96, 48"]
        elif kind is Pipeline:
            found += SOME_CALLS
        elif kind is ClassWeights:
            found += ["cat: 2, dog: 0.5", "한글: 1e-07, a: b: 3, 'q': 2.5", "2, 1, 0.25", "7"]
        elif kind is OwnCode:
            found += ["my_code:f", "package.module:Name_2", "폴더.이름:점수"]
        elif kind is Unfreezing:
            found += ["2: layer4", "1: layer4, bn1, 3: layer3.0.conv1, 4: all"]
        elif kind is str:
            found += [text for text in SOME_TEXT if "," not in text]
        elif get_origin(kind) is tuple:
            found += ["conv1", "conv1, layer1.0.bn1, layer2"]
        else:
            assert kind is type(None)
            found.append("")
    return found


def numbers_of(kind: type, bounds: Bounds) -> list[str]:
    low = bounds.at_least if bounds.at_least is not None else bounds.above
    high = bounds.at_most if bounds.at_most is not None else bounds.below
    assert low is not None and high is not None
    if kind is int:
        return [str(int(low)), str(int(high)), str(int(low) + 1)]
    inside = [low + 1e-7, low + (high - low) / 3, high - 1e-3]
    return [repr(number) for number in inside] + [repr(float(end)) for end in (low, high) if bounds.hold(end)]


def read_back(config: Config, help: bool) -> Config:
    Path("printed.ini").write_text(to_ini(config, help), encoding="utf-8")
    again, warnings = read_config(["printed.ini"])
    assert warnings == []
    return again


@pytest.mark.parametrize("help", [True, False])
def test_the_defaults_read_back_as_themselves(help: bool) -> None:
    assert read_back(Config(), help) == Config()


@pytest.mark.parametrize("option", ALL, ids=lambda option: f"{option.section}.{option.name}")
def test_every_option_round_trips(option: Option) -> None:
    values = set()
    for text in texts_of(option):
        override = f"{option.section}.{option.name}={text}"
        more = NEEDS.get((option.name, text), NEEDS.get((option.name, None), []) if text else [])
        config, _ = read_config([], [override, *more])
        value = getattr(getattr(config, option.section), option.name)
        assert read_back(config, help=True) == config, text
        assert read_back(config, help=False) == config, text
        values.add(repr(value))
    assert len(values) > 1 or option.name == "task", "texts that all mean the same test nothing"


def test_all_options_changed_at_once_round_trip() -> None:
    apart = {
        "warmup_epochs",
        "mean",
        "std",
        "train",
        "valid",
        "source",
        "dataset",
        "age_boundary",
        "method",
        "fold_column",
        "epochs_from",
        "holdout",
        "tta",
        "repeats",
        "feature_cache",
        "task",
        "label_columns",
        "label_separator",
        "target_range",
        "metric_weights",
        "loss",
        "metric",
        "head",
        "empty_labels",
        "label_pattern",
        "pixel_columns",
        "pixel_size",
        "channels",
        "channel_suffixes",
        "metadata_columns",
        "pseudo_threshold",
        "unknown_below",
    }
    overrides = [f"{o.section}.{o.name}={texts_of(o)[-1]}" for o in ALL if o.name not in apart]
    config, _ = read_config([], overrides)
    assert read_back(config, help=True) == config != Config()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (("a", "b", "c"), tuple[str, ...]),
        (("a",), tuple[str, ...]),
        ((0.1, 1e-7, 0.3), tuple[float, ...]),
        ((1e16, 0.1 + 0.2), tuple[float, ...]),
        (ClassWeights(("cat", "a: b"), (2.0, 0.1 + 0.2)), ClassWeights),
        (ClassWeights((), (2.0, 1e-7)), Literal["none"] | ClassWeights),
        (Size(32, 64), Size),
        (Size(64, 32), Size),
        (Size(64, 64), Size),
        (True, Union[Literal["auto"], bool]),  # noqa: UP007 - both ways to write a union are read
        ("auto", Literal["auto"] | bool),
        (3, Literal[1, 3]),
        (5e-324, float),
        (1.7976931348623157e308, float),
        (OwnCode("package.module:name"), Literal["auto"] | OwnCode),
        (None, str | None),
        ("None", str | None),
    ],
)
def test_values_round_trip_as_text(value: Any, kind: Any) -> None:
    again = parse_value(format_value(value), kind, Bounds())
    assert again == value and type(again) is type(value)


def test_the_printed_config_has_each_option_under_its_help_and_default() -> None:
    lines = to_ini(Config()).splitlines()
    for option in ALL:
        default = format_value(option.default).strip() or "blank"
        position = lines.index(f"; {option.help} (default: {default})")
        assert lines[position + 1].split(" =")[0] == option.name
    assert [line[1:-1] for line in lines if line.startswith("[")] == list(SECTIONS)


def test_the_docs_name_every_section_and_option() -> None:
    text = to_markdown()
    for option in ALL:
        assert f"\n## [{option.section}]\n" in text and f"| `{option.name}` | " in text
    for row in (line for line in text.splitlines() if line.startswith("| ")):
        assert row.replace("\\|", "").count("|") == 5, row


def test_every_option_has_help_and_a_default_that_its_own_type_takes() -> None:
    for option in ALL:
        assert option.help and "\n" not in option.help
        assert parse_value(format_value(option.default).strip(), option.kind, option.bounds) == option.default, option

"""Augmentation: refused by name where it does not fit, and one draw is a function of (seed, fold, epoch, position) alone."""

from __future__ import annotations

import importlib
import os
import re
import sys
import urllib.request
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from modules.config.errors import OptionError, UserError
from modules.config.pipeline import parse_pipeline
from modules.config.schema import Augmentation
from modules.config.values import Size
from modules.data.pixels import Pixels
from modules.data.transforms import PRESETS, apply, build_pipeline, check_pipeline, make_train_pipeline
from tests.scripts.forked import run_forked

SIZE = Size(24, 40)
CORNERS = np.array([[10, 60], [120, 250]], dtype=np.uint8)[..., np.newaxis]


def build(text: str, option: str = "train") -> Any:
    return build_pipeline(parse_pipeline(text), option)


def pixels_of(channels: int = 3, size: Size = SIZE) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)


def refused(text: str, size: Size = SIZE, channels: int = 3) -> list[str]:
    with pytest.raises(UserError) as caught:
        check_pipeline(build(text), "train", size, channels)
    assert all(line.startswith("[augmentation] train: ") and "\n" not in line for line in caught.value.lines)
    return [line.removeprefix("[augmentation] train: ") for line in caught.value.lines]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HorizontalFlop(p=0.5)", "albumentations has no transform 'HorizontalFlop' (did you mean HorizontalFlip?)"),
        ("horizontalflip()", "albumentations has no transform 'horizontalflip' (did you mean HorizontalFlip?)"),
        ("Zzzzzzzz()", "albumentations has no transform 'Zzzzzzzz'"),
        ("BboxParams()", "albumentations has no transform 'BboxParams'"),
        ("cv2()", "albumentations has no transform 'cv2'"),
        ("OneOf([VerticalFlip(), Vlip()])", "albumentations has no transform 'Vlip'"),
        ("HorizontalFlip(prob=0.5)", "HorizontalFlip has no argument 'prob'; it has p"),
        ("Rotate(angle=5)", "Rotate has no argument 'angle'"),
        ("OneOf([Rotate(limits=5)])", "Rotate has no argument 'limits' (did you mean limit?)"),
        ("HorizontalFlip(p=2)", "HorizontalFlip(p=2): p: Input should be less than or equal to 1"),
        ("HorizontalFlip(p=-0.1)", "HorizontalFlip(p=-0.1): p: Input should be greater than or equal to 0"),
        ("HorizontalFlip(p='often')", "HorizontalFlip(p='often'): p: Input should be a valid number"),
        ("RandomCrop(height=16)", "RandomCrop(height=16): width: Field required"),
        ("Normalize(p=1)", "Normalize makes float32; images stay uint8, [data] mean and std normalise them"),
        ("ToFloat(p=1)", "ToFloat makes float32; images stay uint8, [data] mean and std normalise them"),
        ("RandomCrop(16, 20, p=1)", "after RandomCrop images are 16 x 20 x 3; [data] image_size and channels say 24 x 40 x 3"),
        ("Resize(40, 24)", "after Resize images are 40 x 24 x 3; [data] image_size and channels say 24 x 40 x 3"),
        ("Transpose(p=1)", "after Transpose images are 40 x 24 x 3; [data] image_size and channels say 24 x 40 x 3"),
        ("HorizontalFlip()\nResize(9, 9)", "after Resize images are 9 x 9 x 3; [data] image_size and channels say 24 x 40 x 3"),
        ("RandomCrop(100, 100, p=1)", "RandomCrop fails on 24 x 40 x 3 images: "),
        ("MaskDropout(p=1)", "MaskDropout fails on 24 x 40 x 3 images: "),
    ],
)
def test_a_transform_that_does_not_exist_or_does_not_fit_is_refused_by_name(text: str, message: str) -> None:
    (line,) = refused(text)
    assert line.startswith(message)


def test_a_transform_for_colour_alone_is_refused_for_grey_before_training() -> None:
    (line,) = refused("ChannelShuffle(p=1)\nRGBShift(p=1)\nFancyPCA(p=1)\nPlanckianJitter(p=1)", channels=1)
    assert "fails on 24 x 40 x 1 images" in line


def test_every_transform_that_is_wrong_is_named_at_once() -> None:
    lines = refused("Foo()\nHorizontalFlip(p=0.5)\nRotate(angle=3)\nVerticalFlip(p=7)")
    assert [line.split("(")[0].split(";")[0] for line in lines] == [
        "albumentations has no transform 'Foo' ",
        "Rotate has no argument 'angle'",
        "VerticalFlip",
    ]


def test_every_argument_that_is_wrong_is_named_at_once() -> None:
    told = " ".join(refused("Rotate(angle=3, colour=2)"))
    assert "'angle'" in told and "'colour'" in told


def test_the_option_that_holds_the_pipeline_is_told() -> None:
    with pytest.raises(OptionError) as caught:
        build("Foo()", "valid")
    assert caught.value.args[:2] == ("augmentation", "valid")


@pytest.mark.parametrize(
    "text",
    ["Normalize(p=0.02)", "RandomCrop(16, 16, p=0.02)", "OneOf([HorizontalFlip(p=1), Normalize(p=1)], p=0.05)", "Transpose(p=0.02)"],
)
def test_a_transform_that_seldom_fires_is_refused_like_one_that_always_does(text: str) -> None:
    """Otherwise a batch somewhere in training is float among uint8, or does not stack."""
    made = set()
    try:
        pipeline = build(text)
        check_pipeline(pipeline, "train", SIZE, 3)
        for position in range(200):
            found = apply(pipeline, pixels_of(), 0, 0, 0, position)
            made.add((str(found.dtype), found.shape))
    except UserError:
        made.add(("uint8", (24, 40, 3)))
    assert made == {("uint8", (24, 40, 3))}


@pytest.mark.parametrize("text", ["OneOf([], p=1)", "OneOf([])", "Compose([], p=1)", "SomeOf([], n=1, p=1)", "Sequential([], p=1)"])
def test_a_choice_between_no_transforms_is_refused_or_does_nothing(text: str) -> None:
    try:
        pipeline = build(text)
        check_pipeline(pipeline, "train", SIZE, 3)
    except UserError:
        return
    for position in range(20):
        assert np.array_equal(apply(pipeline, pixels_of(), 0, position), pixels_of())


def test_a_crop_that_a_later_resize_undoes_is_taken() -> None:
    check_pipeline(build("RandomCrop(16, 16, p=0.3)\nResize(24, 40, p=1)"), "train", SIZE, 3)
    assert refused("Resize(24, 40, p=1)\nRandomCrop(16, 16, p=0.3)") == [
        "after RandomCrop images are 16 x 16 x 3; [data] image_size and channels say 24 x 40 x 3"
    ]


def test_what_fits_is_taken() -> None:
    text = "HorizontalFlip(p=0.5)\nOneOf([Rotate(limit=(-5, 5)), Compose([Blur(3), VerticalFlip()])], p=0.5)\nResize(24, 40)"
    pipeline = build(text)
    check_pipeline(pipeline, "train", SIZE, 3)
    check_pipeline(pipeline, "train", SIZE, 1)
    assert [type(transform).__name__ for transform in pipeline.transforms] == ["HorizontalFlip", "OneOf", "Resize"]
    assert pipeline.transforms[1].transforms[0].limit == (-5, 5)


def test_an_empty_pipeline_leaves_pixels_as_they_are() -> None:
    for pipeline in (build(""), make_train_pipeline(Augmentation(preset="none"), SIZE, 3)):
        check_pipeline(pipeline, "train", SIZE, 3)
        assert np.array_equal(apply(pipeline, pixels_of(), 1, 2, 3), pixels_of())


def test_a_written_pipeline_takes_the_place_of_the_preset() -> None:
    pipeline = make_train_pipeline(Augmentation(preset="heavy", train=parse_pipeline("HorizontalFlip(p=1)")), SIZE, 3)
    assert np.array_equal(apply(pipeline, pixels_of(), 0), pixels_of()[:, ::-1])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_keeps_uint8_and_the_size_and_repeats_a_draw(preset: str, channels: int) -> None:
    augmentation = Augmentation(preset=preset)  # type: ignore[arg-type]
    pipeline, other = (make_train_pipeline(augmentation, SIZE, channels) for _ in range(2))
    check_pipeline(pipeline, "train", SIZE, channels)
    pixels = pixels_of(channels)
    results = []
    for position in range(25):
        found = apply(pipeline, pixels, 42, 0, 1, position)
        assert found.dtype == np.uint8 and found.shape == (*SIZE, channels)
        apply(other, pixels, 42, 0, 2, position)
        assert np.array_equal(apply(other, pixels, 42, 0, 1, position), found), "another pipeline, another draw before"
        results.append(found.tobytes())
    assert np.array_equal(pixels, pixels_of(channels)), "the image that came in is left alone"
    assert len(set(results)) == (1 if preset == "none" else 25) or (preset == "light" and len(set(results)) >= 23)


def test_a_transform_that_takes_rgb_alone_is_refused_for_four_channels() -> None:
    pipeline = build_pipeline(parse_pipeline("ColorJitter(p=0.1)"), "train")
    check_pipeline(pipeline, "train", SIZE, 3)
    with pytest.raises(OptionError, match=r"ColorJitter fails on 24 x 40 x 4 images: ") as caught:
        check_pipeline(pipeline, "train", SIZE, 4)
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize("preset", ["none", "light"])
def test_presets_for_text_and_digits_never_mirror(preset: str) -> None:
    pixels = np.zeros((24, 24, 1), dtype=np.uint8)
    pixels[4:20, 3:9] = 250
    pipeline = make_train_pipeline(Augmentation(preset=preset), Size(24, 24), 1)  # type: ignore[arg-type]
    for position in range(200):
        found = apply(pipeline, pixels, 0, 0, 0, position).astype(float)
        assert found[:, :12].sum() > found[:, 12:].sum()


def test_a_draw_is_a_function_of_seed_fold_epoch_and_position_alone() -> None:
    pipeline = build("Affine(rotate=(-90, 90), p=1)\nRandomBrightnessContrast(p=1)")
    draws = list(product((0, 1), (0, 1), (0, 1, 2), range(8)))
    first = {draw: apply(pipeline, pixels_of(), *draw).tobytes() for draw in draws}
    assert len(set(first.values())) == len(draws), "no draw repeats another one's stream"
    again = {draw: apply(pipeline, pixels_of(), *draw).tobytes() for draw in reversed(draws)}
    assert again == first, "the order of draws does not matter"


def test_a_draw_does_not_depend_on_numpys_or_pythons_global_state() -> None:
    pipeline = make_train_pipeline(Augmentation(preset="heavy"), SIZE, 3)
    found = []
    for seed in (0, 1):
        np.random.seed(seed)
        found.append([apply(pipeline, pixels_of(), 42, 0, 1, position).tobytes() for position in range(10)])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "text",
    [
        "HorizontalFlip(p=0.5)\nVerticalFlip(p=0.5)",
        "Compose([HorizontalFlip(p=0.5), VerticalFlip(p=0.5)], p=1)",
        "Sequential([HorizontalFlip(p=0.5)], p=1)\nOneOf([VerticalFlip(p=1)], p=0.5)",
    ],
)
def test_transforms_of_a_pipeline_are_independent(text: str) -> None:
    """`Compose.set_random_seed` would give every transform the same stream: both flips or none."""
    pipeline = build(text)
    seen = Counter(int(apply(pipeline, CORNERS, 42, 0, 0, position)[0, 0, 0]) for position in range(1000))
    assert set(seen) == {10, 60, 120, 250}, "neither, left-right, upside down, both"
    # Four equal shares of 1,000: 250 with a standard deviation of 13.7; 4.4 of those.
    assert all(abs(count - 250) < 60 for count in seen.values()), seen


def test_draws_of_neighbouring_positions_and_epochs_are_independent() -> None:
    pipeline = build("HorizontalFlip(p=0.5)")
    flips = np.array([[apply(pipeline, CORNERS, 42, 0, epoch, position)[0, 0, 0] == 60 for position in range(60)] for epoch in range(20)])
    assert abs(flips.mean() - 0.5) < 0.06
    assert abs(np.mean(flips[:, 1:] == flips[:, :-1]) - 0.5) < 0.06
    assert abs(np.mean(flips[1:] == flips[:-1]) - 0.5) < 0.06


@pytest.mark.parametrize("module", ["modules.data.loaders", "modules.data.transforms"])
def test_albumentations_never_asks_the_network_for_its_version(module: str) -> None:
    """Whichever file of the room is imported first: the environment is set before albumentations looks at it."""

    def import_anew() -> int:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("modules", "albumentations")]:
            del sys.modules[name]
        del os.environ["NO_ALBUMENTATIONS_UPDATE"]
        urllib.request.OpenerDirector.open = lambda *a, **k: print("asked")  # type: ignore[method-assign,assignment]
        importlib.import_module(module)
        print("albumentations" in sys.modules)
        return 0

    done = run_forked(import_anew)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_failing_transform_is_told_without_line_breaks() -> None:
    with pytest.raises(OptionError, match=re.escape("[augmentation] train: RandomCrop fails on 8 x 8 x 1 images: ")) as caught:
        check_pipeline(build("RandomCrop(50, 50, p=1)"), "train", Size(8, 8), 1)
    assert len(str(caught.value).splitlines()) == 1

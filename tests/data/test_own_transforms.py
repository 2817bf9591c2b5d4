"""Transforms of one's own: a class or a function, repeatable like any other, and refused in a line where they are not."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.compute.own_code import forget
from modules.config.errors import UserError
from modules.config.pipeline import parse_pipeline
from modules.config.values import Size
from modules.data.pixels import Pixels
from modules.data.transforms import apply, build_pipeline, check_pipeline, describe_pipeline

SIZE = Size(24, 40)
CODE = """
import random
import albumentations as A
import numpy as np
import torch

class Scanlines(A.ImageOnlyTransform):
    def __init__(self, gap=4, p=0.5):
        super().__init__(p=p)
        self.gap = gap

    def get_params(self):
        return {"start": self.py_random.randrange(self.gap)}

    def apply(self, img, start, **params):
        img = img.copy()
        img[start :: self.gap] = 0
        return img

def lines(image, gap=4):
    image[::gap] = 0
    return image

def noise(image, rng, strength=20):
    return (image + rng.normal(0, strength, image.shape)).clip(0, 255).astype(np.uint8)

def with_p(image, p): return (image * p).astype(np.uint8)
def by_numpy(image): return image + np.random.randint(0, 2, image.shape).astype(np.uint8)
def by_random(image): return image[::-1] if random.random() < 0.01 else image
def by_torch(image): return image + np.uint8(torch.rand(1).item() > 2)
def by_itself(image): return image + np.random.default_rng().integers(0, 9, image.shape, dtype=np.uint8)
def gives_nothing(image): image[:] = 0
def gives_floats(image): return image / 255
def gives_less(image): return image[:8]
def fails(image, row):
    return image[row]
def takes_none(): ...
class Unknown: ...
class InPlace(A.ImageOnlyTransform):
    def apply(self, img, **params):
        img[:] = 0
        return img
class ByRandom(A.ImageOnlyTransform):
    def apply(self, img, **params):
        return np.clip(img + random.random() * 255, 0, 255).astype(np.uint8)
class NoInit(A.ImageOnlyTransform):
    def __init__(self, gap): self.gap = gap
class Raises(A.ImageOnlyTransform):
    def __init__(self, gap): raise ValueError("no gap")
"""


@pytest.fixture(autouse=True)
def _code() -> None:
    Path("my_transforms.py").write_text(CODE)
    forget()


def built(text: str) -> Any:
    return build_pipeline(parse_pipeline(text), "train")


def pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_a_class_is_a_transform_like_those_of_albumentations() -> None:
    pipeline = built("my_transforms:Scanlines(gap=3, p=1)")
    check_pipeline(pipeline, "train", SIZE, 3)
    starts = set()
    for position in range(20):
        found = apply(pipeline, pixels(), 0, position)
        black = [row for row in range(24) if not found[row].any()]
        assert black == list(range(black[0], 24, 3))
        assert np.array_equal(found, apply(built("my_transforms:Scanlines(gap=3, p=1)"), pixels(), 0, position))
        starts.add(black[0])
    assert starts == {0, 1, 2}


def test_a_function_is_called_with_the_image_and_its_arguments_as_often_as_p_says() -> None:
    given = pixels()
    black = [not apply(built("my_transforms:lines(gap=2, p=0.25)"), given, 0, position)[2].any() for position in range(200)]
    assert 30 < sum(black) < 70
    assert np.array_equal(given, pixels()), "it works on a copy"
    assert not apply(built("my_transforms:lines()"), given, 0)[4].any(), "without p it is always called"
    assert np.array_equal(apply(built("my_transforms:with_p(p=0.5)"), given, 0), (given * 0.5).astype(np.uint8)), "p may be its own"


def test_a_function_draws_from_the_generator_of_its_draw() -> None:
    pipeline = built("my_transforms:noise(strength=30)")
    check_pipeline(pipeline, "train", SIZE, 3)
    first, again, other = (apply(pipeline, pixels(), 0, position) for position in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_own_transforms_stand_within_others() -> None:
    pipeline = built("OneOf([my_transforms:lines(gap=1), HorizontalFlip(p=1)], p=1)")
    check_pipeline(pipeline, "train", SIZE, 3)
    found = [apply(pipeline, pixels(), 0, position) for position in range(20)]
    assert {bool(each.any()) for each in found} == {True, False}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("Scanlines(gaps=3)", "my_transforms:Scanlines has no argument 'gaps' (did you mean gap?); it has gap, p"),
        ("lines(gop=2)", "my_transforms:lines has no argument 'gop' (did you mean gap?); it has gap, p"),
        ("lines(4)", "my_transforms:lines(4): the arguments of a function are written with their names, such as gap=4"),
        ("lines(p=3)", "my_transforms:lines(p=3): p: expected a number from 0 to 1"),
        ("noise(rng=3)", "my_transforms:noise(rng=3): rng is given by Foldini; leave it out"),
        ("by_numpy()", "my_transforms:by_numpy draws from a generator that Foldini does not seed"),
        ("by_random()", "my_transforms:by_random draws from a generator that Foldini does not seed"),
        ("by_torch()", "my_transforms:by_torch draws from a generator that Foldini does not seed"),
        ("by_itself()", "my_transforms:by_itself draws from a generator that Foldini does not seed"),
        ("ByRandom(p=0.001)", "ByRandom draws from a generator that Foldini does not seed, so that no run could be repeated; use self.r"),
        ("gives_nothing()", "my_transforms:gives_nothing fails on 24 x 40 x 3 images: TypeError: it gives nothing; expected an image"),
        ("gives_floats()", "my_transforms:gives_floats makes float64; images stay uint8"),
        ("gives_less()", "after my_transforms:gives_less images are 8 x 40 x 3; [data] image_size and channels say 24 x 40 x 3"),
        ("fails()", "my_transforms:fails(image, row) wants row too, such as my_transforms:fails(row=1)"),
        ("fails(row=99)", "my_transforms:fails fails on 24 x 40 x 3 images: IndexError: index 99 is out of bounds"),
        ("takes_none()", "my_transforms:takes_none() takes no image; expected a function whose first argument is one"),
        ("Unknown()", "my_transforms:Unknown is a class that albumentations does not know; derive it from albumentations.ImageOnlyT"),
        ("InPlace()", "InPlace changes the image that it is given; let it work on a copy"),
        ("NoInit(gap=3)", "my_transforms:NoInit: its __init__ does not call super().__init__(p=p)"),
        ("Raises(gap=3)", "my_transforms:Raises(gap=3): ValueError: no gap (my_transforms.py:"),
        ("Scanline()", "my_transforms has no 'Scanline' (did you mean Scanlines?)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_in_a_line(call: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_pipeline(built(f"my_transforms:{call}"), "train", SIZE, 3)
    (line,) = caught.value.lines
    assert line.startswith(f"[augmentation] train: {message}") and "\n" not in line
    assert call != "fails(row=99)" or line.endswith(f"(my_transforms.py:{CODE.splitlines().index('    return image[row]') + 1})")


def test_stored_features_are_not_those_of_other_code_under_the_same_name() -> None:
    text = "my_transforms:Scanlines(gap=3)\nmy_transforms:lines()\nHorizontalFlip()"
    first = describe_pipeline(built(text))
    assert describe_pipeline(built(text)) == first != describe_pipeline(built(text.replace("gap=3", "gap=4")))
    Path("my_transforms.py").write_text(CODE.replace("image[::gap] = 0", "image[::gap] = 9"))
    forget()
    assert describe_pipeline(built(text)) != first


@pytest.mark.slow
def test_a_process_that_is_not_forked_finds_them_too() -> None:
    pipeline = built("my_transforms:Scanlines(gap=3, p=1)\nmy_transforms:noise()")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(apply, (pipeline, pixels(), 0, 1))
    assert np.array_equal(there, apply(pickle.loads(pickle.dumps(pipeline)), pixels(), 0, 1))  # noqa: S301

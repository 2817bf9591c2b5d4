"""albumentations pipelines: the presets, those written in the INI, and one reproducible draw from them.

A pipeline takes and returns (height, width, channels) uint8 of one size; scaling to numbers is the device's work.
"""

from __future__ import annotations

import inspect
import json
import warnings
from copy import deepcopy
from itertools import chain
from typing import Any

import albumentations as A
import cv2
import numpy as np

from modules.compute.own_code import FAILURES, explain
from modules.compute.seeding import draw_generators
from modules.config.errors import OptionError, UserError, gather, hint
from modules.config.pipeline import Call, Pipeline
from modules.config.schema import Augmentation
from modules.config.values import Size
from modules.data.own_transforms import check_own, digests_in, is_own, load_transform, make_function, name_of
from modules.data.pixels import Pixels

DRAWS_TRIED = 6
FILL = {"border_mode": cv2.BORDER_REPLICATE}


def make_train_pipeline(augmentation: Augmentation, size: Size, channels: int) -> A.Compose:
    """What training images go through after the resize: `train` where it is written, else the preset."""
    if augmentation.train is not None:
        return build_pipeline(augmentation.train, "train")
    return A.Compose(PRESETS[augmentation.preset](size, channels))


def build_pipeline(pipeline: Pipeline, option: str) -> A.Compose:
    """The albumentations pipeline of [augmentation] `option`.

    Raises UserError that names every transform or argument that does not exist or does not fit.
    """
    return A.Compose(gather(*(lambda call=call: _build(call, option) for call in pipeline.calls)))


def crops_first(pipeline: A.Compose, size: Size) -> bool:
    """Whether it always begins with a crop of a share of the image, brought to `size`: of a larger image it takes the same, sharper."""
    first = pipeline.transforms[0] if pipeline.transforms else None
    return isinstance(first, A.RandomResizedCrop) and first.p >= 1 and tuple(first.size) == tuple(size)


def describe_pipeline(pipeline: A.Compose) -> str:
    """All that its draws depend on besides the seed; blank where it does nothing."""
    if not pipeline.transforms:
        return ""
    own = digests_in(pipeline)
    return json.dumps(A.to_dict(pipeline), sort_keys=True, default=repr) + (json.dumps(own, sort_keys=True) if own else "")


def apply(pipeline: A.Compose, pixels: Pixels, *draw: int | str) -> Pixels:
    """One draw from the pipeline, a function of the pixels and of `draw` (seed, fold, epoch, position) alone."""
    pipeline.set_random_state(*draw_generators(*draw))
    return np.asarray(pipeline(image=pixels)["image"])


def check_pipeline(pipeline: A.Compose, option: str, size: Size, channels: int) -> None:
    """Tries every transform on a made image, however seldom it fires in training.

    Raises OptionError where one fails, or where no uint8 image of `size` comes out.
    """
    for sequence in _sequences(pipeline.transforms):
        for draw in range(DRAWS_TRIED):
            pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)
            for position, transform in enumerate(sequence):
                pixels = _try_transform(transform, option, pixels, draw, position)
            if pixels.shape != (*size, channels):
                name = name_of(sequence[-1])
                message = f"after {name} images are {_shape(pixels.shape)}; [data] image_size and channels say {_shape((*size, channels))}"
                raise OptionError("augmentation", option, message)


def _sequences(transforms: list[Any]) -> list[list[Any]]:
    """What may happen to an image: for each transform in the tree, it and all others that always fire."""
    always = [_alternatives(transform)[0] if transform.p >= 1 else [] for transform in transforms]
    found = []
    for place, transform in enumerate(transforms):
        before, behind = list(chain(*always[:place])), list(chain(*always[place + 1 :]))
        found += [[*before, *alternative, *behind] for alternative in _alternatives(transform)]
    return found


def _alternatives(transform: Any) -> list[list[Any]]:
    """The transforms that this one may come to, when it fires."""
    if not isinstance(transform, A.BaseCompose):
        certain = deepcopy(transform)
        certain.p = 1.0
        return [[certain]]
    if isinstance(transform, A.Compose | A.Sequential):
        return _sequences(transform.transforms) or [[]]
    return [alternative for child in transform.transforms for alternative in _alternatives(child)] or [[]]


def _try_transform(transform: Any, option: str, pixels: Pixels, *draw: int) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if is_own(transform):
                check_own(transform, option, lambda image: apply(A.Compose([transform]), image, *draw), pixels)
            result = apply(A.Compose([transform]), pixels, *draw)
    except UserError:
        raise
    except FAILURES as error:
        reason = explain(error) if is_own(transform) else " ".join(str(error).split())
        raise OptionError("augmentation", option, f"{name_of(transform)} fails on {_shape(pixels.shape)} images: {reason}") from None
    if result.dtype != np.uint8:
        message = f"{name_of(transform)} makes {result.dtype}; images stay uint8, [data] mean and std normalise them"
        raise OptionError("augmentation", option, message)
    return result


def _none(size: Size, channels: int) -> list[Any]:
    return []


def _light(size: Size, channels: int) -> list[Any]:
    """For anything, digits and text too: nothing is mirrored."""
    return [
        A.Affine(translate_percent=(-0.06, 0.06), scale=(0.9, 1.1), rotate=(-10, 10), p=0.9, **FILL),
        A.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.15, p=0.5),
    ]


def _medium(size: Size, channels: int) -> list[Any]:
    return [
        A.RandomResizedCrop(size=tuple(size), scale=(0.6, 1.0), ratio=(0.8, 1.25), p=1.0),
        A.HorizontalFlip(p=0.5),
        A.Affine(rotate=(-15, 15), p=0.5, **FILL),
        _colour(0.2, channels),
    ]


def _heavy(size: Size, channels: int) -> list[Any]:
    return [
        A.RandomResizedCrop(size=tuple(size), scale=(0.35, 1.0), ratio=(0.75, 1.33), p=1.0),
        A.HorizontalFlip(p=0.5),
        A.Affine(rotate=(-25, 25), shear=(-8, 8), p=0.7, **FILL),
        _colour(0.35, channels),
        A.OneOf([A.GaussianBlur(blur_limit=(3, 5)), A.GaussNoise(std_range=(0.02, 0.08))], p=0.3),
        A.CoarseDropout(num_holes_range=(1, 4), hole_height_range=(0.1, 0.25), hole_width_range=(0.1, 0.25), p=0.5),
    ]


def _colour(strength: float, channels: int) -> Any:
    if channels != 3:  # hue and saturation are of RGB alone
        return A.RandomBrightnessContrast(brightness_limit=strength, contrast_limit=strength, p=0.7)
    around = (1 - strength, 1 + strength)
    return A.ColorJitter(brightness=around, contrast=around, saturation=around, hue=(-0.05, 0.05), p=0.7)


PRESETS = {"none": _none, "light": _light, "medium": _medium, "heavy": _heavy}


def _build(call: Call, option: str) -> Any:
    if call.own_code is not None:
        return _build_own(call, option)
    kind = getattr(A, call.name, None)
    if not (isinstance(kind, type) and issubclass(kind, (A.BasicTransform, A.BaseCompose))):
        raise OptionError("augmentation", option, f"albumentations has no transform '{call.name}'{hint(call.name, _transform_names())}")
    return _instance(kind, call, option)


def _build_own(call: Call, option: str) -> Any:
    found = load_transform(call, option)
    if not isinstance(found, type):
        return make_function(call, found, option)
    made = _instance(found, call, option)
    if not hasattr(made, "p"):
        raise OptionError("augmentation", option, f"{call.name}: its __init__ does not call super().__init__(p=p)")
    return made


def _instance(kind: Any, call: Call, option: str) -> Any:
    _check_arguments(kind, call, option)
    positional, keywords = [_argument(value, option) for value in call.positional], {}
    for name, value in call.keywords:
        keywords[name] = _argument(value, option)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(*positional, **keywords)
    except UserError:
        raise
    except FAILURES as error:  # pydantic's, and whatever a transform's own checks raise
        reason = _first_reason(error) if call.own_code is None else explain(error)
        raise OptionError("augmentation", option, f"{call}: {reason}") from None


def _argument(value: Any, option: str) -> Any:
    if isinstance(value, Call):
        return _build(value, option)
    if isinstance(value, list):
        return [_argument(element, option) for element in value]
    return tuple(_argument(element, option) for element in value) if isinstance(value, tuple) else value


def _check_arguments(kind: type, call: Call, option: str) -> None:
    """albumentations itself only warns of an argument that it does not know."""
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    names = [name for name, parameter in signature.parameters.items() if name != "self" and parameter.kind != parameter.VAR_KEYWORD]
    unknown = [name for name, _ in call.keywords if name not in names]
    if unknown:
        told = " and ".join(f"'{name}'{hint(name, names)}" for name in unknown)
        raise OptionError("augmentation", option, f"{call.name} has no argument {told}; it has {', '.join(names)}")


def _first_reason(error: BaseException) -> str:
    details = getattr(error.__cause__ or error, "errors", None)
    if callable(details) and details():
        first = details()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return " ".join(str(error).split())


def _transform_names() -> list[str]:
    return [
        name for name in dir(A) if isinstance(getattr(A, name), type) and issubclass(getattr(A, name), (A.BasicTransform, A.BaseCompose))
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)

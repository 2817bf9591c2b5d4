"""What a checkpoint carries to inference, and the normalisation on the device."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from modules.config.pipeline import Pipeline, parse_pipeline
from modules.config.schema import Data
from modules.config.values import Size
from modules.data.preprocessing import Normalizer, Preprocessing, make_preprocessing

MEAN, STD = (0.5, 0.25, 0.3), (0.2, 0.1, 0.3)


def test_it_survives_as_plain_values() -> None:
    valid = parse_pipeline("Compose([Flip(p=1.0)])\nPad(fill=(1, 2), name='x')")
    preprocessing = make_preprocessing(Data(image_size=Size(24, 40), resize="pad"), valid, MEAN, STD)
    plain = json.loads(json.dumps(preprocessing.to_dict()))
    assert Preprocessing.from_dict(plain) == preprocessing
    assert preprocessing.size == Size(height=24, width=40) and preprocessing.valid == valid


def test_auto_is_the_models_own_and_numbers_are_taken_as_they_are() -> None:
    auto = make_preprocessing(Data(), None, MEAN, STD)
    assert (auto.mean, auto.std, auto.valid) == (MEAN, STD, Pipeline())
    given = make_preprocessing(Data(mean=(0.1, 0.2, 0.3), std=(0.5,)), None, MEAN, STD)
    assert given.mean == (0.1, 0.2, 0.3) and given.std == (0.5, 0.5, 0.5)


def test_grey_models_get_the_average_of_three_channels() -> None:
    grey = make_preprocessing(Data(channels=1), None, MEAN, STD)
    assert grey.mean == pytest.approx((0.35,)) and grey.std == pytest.approx((0.2,))


def test_a_fourth_channel_gets_the_average_of_the_other_three_and_own_numbers_are_taken() -> None:
    four = make_preprocessing(Data(channels=4), None, MEAN, STD)
    assert four.mean == pytest.approx((*MEAN, sum(MEAN) / 3)) and four.std == pytest.approx((*STD, sum(STD) / 3))
    assert make_preprocessing(Data(channels=4, mean=(0.1, 0.2, 0.3, 0.4)), None, MEAN, STD).mean == (0.1, 0.2, 0.3, 0.4)
    assert make_preprocessing(Data(channels=4, mean=(0.1,)), None, MEAN, STD).mean == (0.1,) * 4


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_normalizer_scales_each_channel_and_puts_channels_first(channels: int, channels_last: bool) -> None:
    preprocessing = make_preprocessing(Data(channels=channels), None, MEAN, STD)  # type: ignore[arg-type]
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, channels), dtype=np.uint8)
    found = Normalizer(preprocessing, torch.device("cpu"), channels_last)(torch.from_numpy(images))
    expected = (images / 255 - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    assert found.shape == (2, channels, 5, 7) and found.dtype == torch.float32
    assert np.allclose(found.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)

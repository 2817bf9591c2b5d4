"""Mixup and cutmix: what is in the pixels is what the targets say."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from modules.config.schema import Augmentation
from modules.data.mixing import make_mixer

CLASSES = 7


def batch(count: int = 5, height: int = 24, width: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Images in which no two pixels are equal, each of a class of its own."""
    images = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) - 0.5
    return images, torch.arange(count) + 1


def kept_share(shares: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(batch,) the share of each image's own class, where the rest is that of the image before it."""
    own = shares.gather(1, targets.unsqueeze(1)).squeeze(1)
    before = shares.gather(1, targets.roll(1).unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(own + before, torch.ones(len(targets)))
    assert shares.dtype == torch.float32 and shares.shape == (len(targets), CLASSES)
    assert int((shares > 0).sum()) <= 2 * len(targets)
    return own


@pytest.mark.parametrize("seed", range(8))
def test_mixup_blends_pixels_by_the_share_in_the_targets(seed: int) -> None:
    images, targets = batch()
    before = images.clone()
    torch.manual_seed(seed)
    mixed, shares = make_mixer(Augmentation(mixup=0.8), [CLASSES])(images, targets)
    share = kept_share(shares, targets)
    assert 0 < float(share[0]) < 1 and len(set(share.tolist())) == 1
    by_hand = torch.stack([share[i].double() * before[i] + (1 - share[i].double()) * before[i - 1] for i in range(5)])
    torch.testing.assert_close(mixed, by_hand.float())
    assert torch.equal(images, before), "what it is given stays as it is"


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_puts_one_box_of_the_other_image_in_and_the_targets_have_its_area(seed: int) -> None:
    images, targets = batch()
    before = images.clone()
    torch.manual_seed(seed)
    mixed, shares = make_mixer(Augmentation(cutmix=1.0), [CLASSES])(images, targets)
    share = kept_share(shares, targets)
    kept, taken = (mixed == before).all(dim=1), (mixed == before.roll(1, 0)).all(dim=1)
    assert torch.equal(kept, ~taken), "every pixel is of the one image or of the other"
    torch.testing.assert_close(kept.float().mean(dim=(1, 2)), share)
    for mask in taken:
        rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
        if len(rows):
            assert bool(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()), "a rectangle"
            assert int(mask.sum()) == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    assert torch.equal(images, before)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 4.0])
def test_the_shares_of_mixup_are_from_the_beta_distribution(alpha: float) -> None:
    torch.manual_seed(0)
    mix, (images, targets) = make_mixer(Augmentation(mixup=alpha), [CLASSES]), batch(2, 2, 2)
    shares = [float(mix(images, targets)[1][0, 1]) for _ in range(1500)]
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert stats.kstest(shares, stats.beta(alpha * 3, alpha * 3).cdf).pvalue < 0.01


def test_with_both_each_batch_is_one_of_the_two_at_random() -> None:
    torch.manual_seed(0)
    mix, (images, targets) = make_mixer(Augmentation(mixup=100.0, cutmix=100.0), [CLASSES]), batch(3, 8, 8)
    kinds = []
    for _ in range(300):
        mixed, _ = mix(images, targets)
        of_one = ((mixed == images) | (mixed == images.roll(1, 0))).all()
        kinds.append("cutmix" if bool(of_one) else "mixup")
    assert 0.4 < kinds.count("mixup") / 300 < 0.6
    assert len({tuple(kinds[start : start + 10]) for start in range(0, 300, 10)}) > 20, "no pattern"


def test_neither_leaves_the_batch_and_torchs_generator_alone() -> None:
    images, targets = batch()
    state = torch.get_rng_state()
    mixed, same = make_mixer(Augmentation(), [CLASSES])(images, targets)
    assert mixed is images and same is targets and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("augmentation", [Augmentation(mixup=0.4), Augmentation(cutmix=1.0), Augmentation(mixup=0.4, cutmix=1.0)])
def test_a_batch_of_one_image_stays_as_it_is(augmentation: Augmentation) -> None:
    images, targets = batch(1)
    mixed, same = make_mixer(augmentation, [CLASSES])(images, targets)
    assert torch.equal(mixed, batch(1)[0]) and torch.equal(same, targets)


def test_the_draws_follow_from_torchs_seed_and_differ_from_batch_to_batch() -> None:
    def draw(seed: int) -> list[bytes]:
        torch.manual_seed(seed)
        mix = make_mixer(Augmentation(mixup=0.4, cutmix=1.0), [CLASSES])
        return [mix(*batch())[0].numpy().tobytes() for _ in range(6)]

    first = draw(1)
    assert draw(1) == first and len(set(first)) > 4 and draw(2) != first


@pytest.mark.parametrize("augmentation", [Augmentation(mixup=0.4), Augmentation(cutmix=1.0)])
def test_the_memory_layout_of_the_images_is_kept(augmentation: Augmentation) -> None:
    images, targets = batch()
    for layout in (torch.contiguous_format, torch.channels_last):
        mixed, _ = make_mixer(augmentation, [CLASSES])(images.contiguous(memory_format=layout), targets)
        assert mixed.is_contiguous(memory_format=layout)

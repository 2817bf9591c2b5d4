"""Draws the pictures of docs/augmentation.md: `python -m docs.pictures.make`. The card that they start from is drawn here too."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from modules.compute.seeding import seed_torch
from modules.config.schema import OPTIONS, Augmentation
from modules.config.values import Size
from modules.data.mixing import make_mixer
from modules.data.pixels import Pixels
from modules.data.transforms import PRESETS, apply, make_train_pipeline
from modules.reporting.pictures import draw_grid

FOLDER = Path(__file__).parent
SIZE = Size(112, 112)
SHIRTS = ((70, 110, 190), (190, 90, 60), (90, 150, 80), (150, 100, 170))
DRAWS = 7


def draw_card(shirt: tuple[int, int, int], mask: bool) -> Pixels:
    """(112, 112, 3): a person in front of a wall, with a number that shows what is mirrored, and with or without a mask."""
    image = Image.new("RGB", (4 * SIZE.width, 4 * SIZE.height), (214, 205, 190))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 330, 448, 448), fill=(168, 150, 128))
    draw.rectangle((300, 30, 420, 150), fill=(140, 190, 225), outline=(110, 90, 70), width=8)
    draw.ellipse((90, 280, 360, 620), fill=shirt)
    draw.ellipse((140, 90, 310, 310), fill=(226, 180, 148))
    draw.pieslice((132, 70, 318, 250), 180, 360, fill=(70, 48, 36))
    for x in (180, 250):
        draw.ellipse((x, 178, x + 22, 200), fill=(40, 40, 40))
    if mask:
        draw.polygon(((146, 215), (304, 215), (292, 285), (225, 318), (158, 285)), fill=(205, 228, 240), outline=(120, 150, 170))
        for y in (235, 255, 275):
            draw.line((165, y, 285, y), fill=(150, 180, 200), width=3)
    else:
        draw.arc((190, 225, 260, 275), 10, 170, fill=(150, 60, 60), width=7)
    draw.text((196, 350), "7", fill=(255, 255, 255), font=ImageFont.load_default(size=84))
    return np.array(image.resize((SIZE.width, SIZE.height), Image.Resampling.LANCZOS))


def draw_preset(preset: str, path: Path) -> None:
    augmentation = Augmentation(preset=preset)  # type: ignore[arg-type]
    pipeline = make_train_pipeline(augmentation, SIZE, 3)
    rows = []
    for row, (shirt, mask) in enumerate(zip(SHIRTS[:2], (True, False), strict=True)):
        card = draw_card(shirt, mask)
        draws = [apply(pipeline, card, 42, 0, epoch, row) for epoch in range(1, DRAWS + 1)]
        captioned = [("the image", card), *((f"draw {number}", draw) for number, draw in enumerate(draws, 1))]
        rows.append(("mask" if mask else "no mask", captioned))
    draw_grid(path, rows, f"augmentation.preset = {preset}")


def draw_mixing(option: str, alpha: float, path: Path) -> None:
    cards = [draw_card(shirt, mask) for shirt in SHIRTS for mask in (True, False)]
    images = torch.from_numpy(np.stack(cards)).permute(0, 3, 1, 2).float()
    targets = torch.tensor([0, 1] * len(SHIRTS))
    rows = [("the batch", [("mask" if target == 0 else "no mask", card) for card, target in zip(cards, targets.tolist(), strict=True)])]
    for draw in (1, 2, 3):
        seed_torch(42, 0, draw)
        mixed, shares = make_mixer(Augmentation(**{option: alpha}), [2])(images, targets)
        pixels = mixed.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
        rows.append((f"draw {draw}", [(f"mask {share[0]:.2f}", image) for share, image in zip(shares.tolist(), pixels, strict=True)]))
    draw_grid(path, rows, f"augmentation.{option} = {alpha:g}")


def main(folder: Path = FOLDER) -> int:
    for preset in PRESETS:
        draw_preset(preset, folder / f"preset_{preset}.png")
    for option, alpha in (("mixup", 0.4), ("cutmix", 1.0)):
        assert option in OPTIONS["augmentation"]
        draw_mixing(option, alpha, folder / f"{option}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())

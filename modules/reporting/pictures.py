"""Pictures for people, as PNG files. Made with matplotlib, without a display."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from modules.compute.storage import write_atomically
from modules.data.pixels import Pixels

CELL = 1.1  # inches of one image


def draw_grid(path: Path, rows: Sequence[tuple[str, Sequence[tuple[str, Pixels]]]], title: str) -> None:
    """Writes rows of images with a name on the left of each row and a caption over each image.

    rows: (name, [(caption, (height, width, channels) uint8), ...]); rows may be of different length. Of four channels the
    first three are seen, as red, green and blue.
    """
    columns = max(len(images) for _, images in rows)
    figure = Figure(figsize=(CELL * (columns + 1), CELL * 1.15 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for axes, (name, images) in zip(grid, rows, strict=True):
        for axis, (caption, pixels) in zip(axes, images, strict=False):
            axis.imshow(
                pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels[..., :3], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
            )
            axis.set_title(caption, fontsize=6, pad=2, parse_math=False)
        axes[0].text(-0.15, 0.5, name, transform=axes[0].transAxes, ha="right", va="center", fontsize=8, parse_math=False)
    write_figure(path, figure)


def as_array(figure: Figure) -> Pixels:
    """(height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    with foreign_scripts():
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(np.asarray(pixels)[..., :3])


def write_figure(path: Path, figure: Figure) -> None:
    """As a PNG file, whole or not at all."""
    text = BytesIO()
    with foreign_scripts():
        FigureCanvasAgg(figure).print_png(text, metadata={"Software": None})  # type: ignore[no-untyped-call]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.getvalue()))


@contextmanager
def foreign_scripts() -> Iterator[None]:
    """Names in scripts that matplotlib's font has not are boxes, and no warning each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield

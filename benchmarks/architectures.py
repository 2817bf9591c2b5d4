"""One architecture of each family in both libraries: head swapped, a forward pass with 1 and 3 channels. Writes docs/models.md.

    python -m benchmarks.architectures [DATE]

No weights are fetched. About four minutes on one core; `pytest --runslow tests/models/test_families.py` asserts the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch

from modules.config.errors import OptionError, UserError
from modules.config.schema import Model
from modules.config.values import Size
from modules.models.build import Network, build_network
from modules.models.heads import find_stem

CLASSES = 7
SIZES = (32, 64, 96, 128, 160, 192, 224, 240, 256, 288)
Library = Literal["timm", "torchvision"]

# The smallest member of each family, more or less.
TIMM = (
    "resnet18", "resnext50_32x4d", "regnetx_002", "res2net50_14w_8s", "densenet121", "vgg11", "dla46_c", "darknet17", "hrnet_w18_small",
    "inception_v3", "xception41", "ese_vovnet19b_slim", "repvgg_a0", "nf_regnet_b0", "convmixer_768_32",
    "efficientnet_lite0", "mobilenetv3_small_050", "mobilenetv4_conv_small_035", "ghostnet_050", "rexnet_100", "repvit_m0_9", "starnet_s1",
    "convnext_atto", "convnextv2_atto", "inception_next_atto", "mambaout_femto", "focalnet_tiny_srf", "poolformer_s12", "caformer_s18",
    "vit_tiny_patch16_224", "deit3_small_patch16_224", "beit_base_patch16_224", "eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256", "maxvit_nano_rw_256", "coatnet_nano_rw_224", "mixer_s32_224", "cait_xxs24_224", "xcit_nano_12_p16_224",
    "levit_128s", "pit_ti_224", "pvt_v2_b0", "crossvit_tiny_240", "mobilevit_xxs", "edgenext_xx_small", "fastvit_t8", "davit_tiny",
    "tiny_vit_5m_224", "efficientformer_l1", "hiera_tiny_224", "gcvit_xxtiny", "volo_d1_224",
)  # fmt: skip
TORCHVISION = (
    "alexnet", "vgg11", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "squeezenet1_1", "googlenet", "inception_v3",
    "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf",
    "convnext_tiny", "vit_b_32", "swin_t", "swin_v2_t", "maxvit_t",
)  # fmt: skip
ARCHITECTURES: tuple[tuple[Library, str], ...] = (*(("timm", name) for name in TIMM), *(("torchvision", name) for name in TORCHVISION))


@dataclass(frozen=True)
class Row:
    """One architecture: the smallest of SIZES that it takes, its head and stem, what came out, a channel count each."""

    library: str
    name: str
    size: int
    head: str
    stem: str
    parameters: int
    shapes: dict[int, tuple[int, ...]]


def look_at(library: Library, name: str) -> Row:
    """Builds it for 7 classes and passes two images. Raises UserError where it takes no size, or not 1 channel too."""
    size, network = _smallest(library, name)
    shapes = {3: _passed(network, 3, size)}
    grey = build_network(Model(library=library, name=name), CLASSES, 1, Size(size, size), False)
    shapes[1] = _passed(grey, 1, size)
    parameters = sum(parameter.numel() for parameter in network.module.parameters())
    return Row(library, name, size, ", ".join(network.head), find_stem(network.module), parameters, shapes)


def _smallest(library: Library, name: str) -> tuple[int, Network]:
    for size in SIZES:
        try:
            return size, build_network(Model(library=library, name=name), CLASSES, 3, Size(size, size), False)
        except OptionError as error:
            fault = error
    raise fault


def _passed(network: Network, channels: int, size: int) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(network.module.eval()(torch.rand(2, channels, size, size)).shape)


def _table() -> Iterator[str]:
    yield "| library | model | image | parameters | head | stem | output, 3 channels | 1 channel |"
    yield "|---|---|---|---|---|---|---|---|"
    for library, name in ARCHITECTURES:
        try:
            row = look_at(library, name)
            shapes = " | ".join(str(row.shapes[channels]) for channels in (3, 1))
            yield f"| {library} | `{name}` | {row.size} | {row.parameters:,} | `{row.head}` | `{row.stem}` | {shapes} |"
        except (UserError, RuntimeError, ValueError, TypeError, AssertionError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())
            yield f"| {library} | `{name}` | | | | | failed: {type(error).__name__}: {reason} | |"


def main() -> None:
    import timm
    import torchvision

    date = sys.argv[1] if len(sys.argv) > 1 else f"{datetime.now(UTC):%Y-%m-%d}"
    page = Path(__file__).parents[1] / "docs/models.md"
    above = page.read_text(encoding="utf-8").partition("## The table")[0] if page.is_file() else ""
    lines = []
    for line in _table():
        lines.append(line)
        print(line, flush=True)
    versions = f"timm {timm.__version__}, torchvision {torchvision.__version__.split('+')[0]}, torch {torch.__version__.split('+')[0]}"
    done = sum("failed" not in line for line in lines) - 2
    how = f"{done} of {len(ARCHITECTURES)} architectures, {CLASSES} classes, two images: `python -m benchmarks.architectures`"
    page.write_text(f"{above}## The table\n\n{how}; {versions}, {date}.\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Predicting a test set by all folds' models against decoding it once and calling the models, in one run.

    python -m benchmarks.inference [photos=FOLDER] [count=N] [side=PIXELS] [section.option=value ...]

Five folds are trained for an epoch first. The floor: every file decoded and brought to a batch once by all cores (D), and every
model called on batches in memory (T). On a CPU their sum, beside an accelerator the larger. Then the same with a frozen trunk
that all folds share: against one model alone, decoding counted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import timm
import torch
from torch import nn

import train
from benchmarks.measuring import Row, describe_machine, in_turn, make_photos, settle, show
from modules.compute.process import start_process
from modules.config.reader import read_config
from modules.data.draws import BatchSampler
from modules.data.loaders import Loader, image_workers
from modules.data.pixel_cache import PixelCache
from modules.data.preprocessing import Normalizer
from modules.data.sources import contest_folder, load_test
from modules.jobs.passes import predict_members
from modules.jobs.restoring import restore_parts
from modules.jobs.trained import open_trained

MODEL = ("model.name=mobilenetv3_small_100", "data.image_size=128", "split.folds=5", "hyper_params.epochs=1")
TRAINED = 100  # images; what the models have learnt plays no part


def measure(folder: Path, work: Path, count: int, *overrides: str) -> list[Row]:
    """Rows for five models of their own, and for five with one trunk."""
    weights = work / "weights.pth"
    torch.save(timm.create_model("mobilenetv3_small_100").state_dict(), weights)
    apart = _Inference(folder, work, count, "apart", "model.pretrained=false", *overrides)
    shared = _Inference(folder, work, count, "shared", f"model.pretrained={weights}", "model.freeze=backbone", *overrides)
    found = in_turn(
        {
            "decode": apart.decode,
            "models": apart.forward,
            "apart": apart.predict,
            "one": lambda: shared.predict(1),
            "shared": shared.predict,
        }
    )
    on_cpu = apart.process.device.type == "cpu"
    floor = found["decode"] + found["models"] if on_cpu else max(found["decode"], found["models"])
    print(f"{count:,} images, {apart.process.describe()}; decoding {found['decode']:.2f} s, models {found['models']:.2f} s", flush=True)
    return [
        Row("inference, 5 folds / decoding + models", floor, found["apart"], "<= 1.10"),
        Row("inference, 5 folds, one trunk / one model", found["one"], found["shared"], "<= 1.20"),
    ]


class _Inference:
    """A run of five folds, and the test set that it is to predict. Nothing of it is in a cache."""

    def __init__(self, folder: Path, work: Path, count: int, name: str, *overrides: str) -> None:
        config_file = work / "config.ini"
        config_file.write_text("")
        shared = (
            "data.source=csv", f"settings.data_path={folder}", "data.test_images=train", f"settings.log_path={work / 'runs'}",
            f"settings.cache_path={work / 'cache'}", "data.near_duplicates=off", "hyper_params.patience=0", *MODEL, *overrides,
            "data.cache=off", "model.feature_cache=off", f"inference.run={name}",
        )  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            few = ("data.train_csv=few.csv", f"settings.run_name={name}")
            assert train.main([str(config_file), *shared, *few, "--quiet"]) == 0
        self.config, _ = read_config([config_file], list(shared))
        (self.run,) = open_trained(self.config)
        self.process, _ = start_process(self.config.settings, self.config.compute)
        self.test = load_test(self.config.data, contest_folder(self.config.data, self.config.settings.data_path), self.run.task)
        self.rows = np.arange(count)
        self.modules = [part.module.eval() for part in restore_parts(self.run.members, self.process)]
        self.normalizer = Normalizer(self.run.preprocessing, self.process.device, self.process.channels_last)
        cores = os.cpu_count() or 1
        pixels = PixelCache(None, self.test.images, self.run.preprocessing)
        crowd = image_workers(self.test, pixels, None, replace(self.process, workers=cores))
        self.batches = Loader(crowd, BatchSampler(self.rows, self.run.config.hyper_params.batch_size), "valid", (0, "valid"))
        self.in_memory = [batch.images.clone() for batch in self.batches.epoch(0)]

    def decode(self) -> None:
        for _ in self.batches.epoch(0):
            pass

    def forward(self) -> None:
        with torch.inference_mode():
            for images in self.in_memory:
                _call(self.modules, self.normalizer(images), self.process.autocast)

    def predict(self, models: int | None = None) -> None:
        predict_members(self.config, self.run.members[:models], self.test, self.rows, self.process, quiet=True)


def _call(modules: list[nn.Module], images: torch.Tensor, autocast: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
    with autocast():
        for module in modules:
            module(images).float().softmax(1).cpu()


def main() -> int:
    overrides, said = settle(sys.argv[1:])
    with TemporaryDirectory() as work:
        originals, count = Path(said["photos"]) if "photos" in said else None, int(said.get("count", 1000))
        folder = make_photos(Path(work) / "photos", count, int(said.get("side", 512)), originals)
        lines = (folder / "train.csv").read_text().splitlines()
        (folder / "few.csv").write_text("\n".join(lines[: TRAINED + 1]) + "\n")
        print(describe_machine())
        show(measure(folder, Path(work), count, *overrides))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The usual way to train K folds, as a plain script: what benchmarks.folds compares with. Nothing of Foldini is used.

    python -m benchmarks.usual FOLDER MODEL IMAGE_SIZE FOLDS EPOCHS BATCH_SIZE RATE SEED WORKERS

FOLDER has train.csv (id, label) and train/. A Dataset decodes with OpenCV, augments and normalises; each fold has a new
DataLoader with so many workers. The same split, augmentation, model, optimiser, schedule and batch size as the config that it
is compared with. Prints the out-of-fold accuracy, of each fold's best epoch.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import timm
import torch
from sklearn.model_selection import StratifiedKFold
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A  # noqa: N812
import cv2


class Photos(Dataset[tuple[torch.Tensor, int]]):
    """Images of (3, side, side) float32."""

    def __init__(self, folder: Path, names: np.ndarray, labels: np.ndarray, side: int, augment: bool) -> None:
        self.folder, self.names, self.labels = folder, names, labels
        border = {"border_mode": cv2.BORDER_REPLICATE}
        drawn = [
            A.Affine(translate_percent=(-0.06, 0.06), scale=(0.9, 1.1), rotate=(-10, 10), p=0.9, **border),
            A.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.15, p=0.5),
        ]
        self.transform = A.Compose(
            [
                A.Resize(side, side, interpolation=cv2.INTER_AREA),
                *(drawn if augment else []),
                A.Normalize((0.5,) * 3, (0.5,) * 3),
                A.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels = cv2.cvtColor(cv2.imread(str(self.folder / self.names[index])), cv2.COLOR_BGR2RGB)
        return self.transform(image=pixels)["image"], int(self.labels[index])


def main() -> int:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    side, folds, epochs, batch_size, rate, seed, workers = *map(int, sys.argv[3:7]), float(sys.argv[7]), *map(int, sys.argv[8:10])
    table = pd.read_csv(folder / "train.csv", dtype=str)
    names, labels = table["id"].to_numpy(), np.unique(table["label"], return_inverse=True)[1]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    right = 0
    for train, valid in StratifiedKFold(folds, shuffle=True, random_state=seed).split(names, labels):
        loaders = [
            DataLoader(
                Photos(folder / "train", names[rows], labels[rows], side, training),
                batch_size,
                shuffle=training,
                num_workers=workers,
                pin_memory=device.type == "cuda",
                drop_last=False,
            )
            for rows, training in ((train, True), (valid, False))
        ]
        model = timm.create_model(name, num_classes=int(labels.max()) + 1).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
        steps = epochs * len(loaders[0])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step, steps=steps: (1 + math.cos(math.pi * step / steps)) / 2)
        best = 0
        for _ in range(epochs):
            model.train()
            for images, targets in loaders[0]:
                optimizer.zero_grad(set_to_none=True)
                loss = functional.cross_entropy(model(images.to(device, non_blocking=True)), targets.to(device, non_blocking=True))
                loss.backward()
                optimizer.step()
                schedule.step()
            model.eval()
            with torch.inference_mode():
                found = [(model(images.to(device)).argmax(1).cpu() == targets).sum() for images, targets in loaders[1]]
            best = max(best, int(sum(found)))
        right += best
    print(f"accuracy {right / len(names):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

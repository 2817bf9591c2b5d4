"""`train_epoch` against the plainest loop with the same steps, over the same batches in memory.

    python -m benchmarks.loop [cpu | cuda] [threads=N] [ema] [clip] [MODEL:SIZE:BATCH ...]

The loop by hand normalises, calls the model, takes the loss, clears gradients, goes back, steps, sets the learning rate, and
where asked clips the gradient and updates the moving average; nothing else. Both begin with the same weights, and the largest
difference between them at the end is told. An epoch of one and an epoch of the other follow each other, ROUNDS times.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch
from torch.nn import functional

from benchmarks.learners import make_batches, make_learner
from benchmarks.measuring import Row
from modules.compute.process import Process, start_process
from modules.config.schema import Compute, HyperParams, Model, Settings
from modules.config.values import Size
from modules.data.loaders import Batch
from modules.models.build import build_network
from modules.reporting.sinks import Silence
from modules.training.epoch import Learner, train_epoch

ON_CPU = ("mobilenetv3_small_100:128:16", "resnet18:32:64", "test_resnet:32:8")
ON_GPU = ("mobilenetv3_small_100:128:128", "resnet50:224:128", "resnet18:32:512")
ROUNDS = 9
STEPS = 8
CLASSES = 10
CLIP = 1.0
DECAY = 0.999


def compare(name: str, size: int, batch_size: int, process: Process, ema: bool, clip: bool, steps: int) -> tuple[str, Row]:
    """A line of the table, and what it says by medians."""
    hyper = HyperParams(optimizer="adamw", epochs=ROUNDS + 1, clip_grad=CLIP if clip else 0.0)
    torch.manual_seed(0)
    module = process.place(build_network(Model(name=name), CLASSES, 3, Size(size, size), False).module)
    batches = make_batches(size, batch_size, steps, CLASSES, process)
    learner = make_learner(copy.deepcopy(module), hyper, process, size, steps, DECAY if ema else 0.0)
    by_hand = ByHand(make_learner(module, hyper, process, size, steps, DECAY if ema else 0.0))
    clock = time.perf_counter if process.device.type == "cuda" else time.process_time  # of cores: others may want them too
    ours, theirs, shares = [], [], []
    for epoch in range(ROUNDS + 1):
        spent = {}
        for way in (0, 1) if epoch % 2 else (1, 0):
            torch.manual_seed(epoch)
            started = clock()
            if way:
                train_epoch(learner, batches, epoch * steps, Silence())
            else:
                by_hand.train(batches, epoch * steps)
            spent[way] = clock() - started
        if epoch:  # the first warms up
            ours.append(spent[1])
            theirs.append(spent[0])
            shares.append(spent[1] / spent[0])
    twins = zip(learner.module.state_dict().values(), module.state_dict().values(), strict=True)
    apart = max(float((one - other).abs().max()) for one, other in twins)
    each = 1e3 / steps
    told = (
        f"{name:24}{size:5}{batch_size:6}  {median(theirs) * each:9.2f}  {median(ours) * each:9.2f}  "
        f"{median(ours) / median(theirs):7.3f}  {median(shares):6.3f}  {min(ours) / min(theirs):8.3f}  {apart:.1e}"
    )
    return told, Row(f"a step of {name}, {size} px / loop by hand", median(theirs) * each, median(ours) * each, "<= 1.02", "ms")


class ByHand:
    """The loop as one would write it for this model alone."""

    def __init__(self, like: Learner) -> None:
        self.like = like
        preprocessing = like.prepare.mean, like.prepare.std  # type: ignore[attr-defined]
        self.mean, self.std = preprocessing

    def train(self, batches: Sequence[Batch], first_step: int) -> float:
        like, module, optimizer = self.like, self.like.module, self.like.optimizer
        device = like.process.device
        layout = torch.channels_last if like.process.channels_last else torch.contiguous_format
        module.train()
        losses = []
        for step, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * like.schedule(first_step + step)
            assert batch.targets is not None
            images = batch.images.to(device, non_blocking=True).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            images = images.float().div_(255).sub_(self.mean).div_(self.std)
            targets = batch.targets.to(device, non_blocking=True)
            if like.process.precision == "float32":
                logits = module(images)
            else:
                with torch.autocast(device.type, dtype=getattr(torch, like.process.precision)):
                    logits = module(images)
            loss = functional.cross_entropy(logits.float(), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if like.clip_grad:
                parameters = [each for group in optimizer.param_groups for each in group["params"]]  # their order is in the last digit
                torch.nn.utils.clip_grad_norm_(parameters, like.clip_grad)
            optimizer.step()
            losses.append(loss.detach())
            if like.ema is not None:
                like.ema.update(module, step=first_step + step + 1)
        return float(torch.stack(losses).mean())


def main() -> int:
    words = sys.argv[1:]
    on_gpu = "cpu" not in words and torch.cuda.is_available()
    threads = next((int(each.partition("=")[2]) for each in words if each.startswith("threads=")), 0)
    process, _ = start_process(Settings(gpu=on_gpu), Compute(threads=threads))
    process = replace(process, workers=0)
    print(f"{process.describe()}, torch {torch.__version__}; {', '.join(each for each in ('ema', 'clip') if each in words) or 'plain'}")
    print("milliseconds a step; Foldini's / the loop's: by medians, the median of pairs, the quickest of each; weights apart at the end")
    print(f"{'model':24}{'px':>5}{'batch':>6}  {'by hand':>9}  {'Foldini':>9}  medians   pairs  quickest", flush=True)
    for text in [each for each in words if each.count(":") == 2] or (ON_GPU if on_gpu else ON_CPU):
        name, size, batch_size = text.split(":")
        steps = STEPS * 8 if on_gpu or name == "test_resnet" else STEPS
        told, _ = compare(name, int(size), int(batch_size), process, "ema" in words, "clip" in words, steps)
        print(told, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

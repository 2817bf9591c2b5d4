"""A share of the samples, held out once: classes evenly, groups whole."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

from modules.config.errors import OptionError, counted, shorten
from modules.config.schema import Split
from modules.data.multilabel import deal, mark_labels
from modules.data.samples import Rows, Samples
from modules.data.strata import LABELLED, by_occurrence, check_counts, strata_of

FINEST_HOLDOUT = 20  # parts that whole groups are dealt into, of which some are held out


def hold_out(samples: Samples, split: Split, method: str, seed: int) -> list[Rows]:
    """The rows of one fold that validates about the share `split.holdout`, classes evenly, groups whole."""
    if samples.task.kind in LABELLED:
        return [_hold_out_labels(samples, split.holdout, seed)]
    if samples.groups is not None:
        return [_hold_out_groups(samples, split, seed)]
    fewest = min(split.holdout, 1 - split.holdout) * len(samples)
    kept = strata_of(samples, split.bins, lambda counts: int(counts.min()) >= 2 and len(counts) <= int(fewest))
    soft = samples.targets is not None and samples.targets.ndim == 2
    kept = by_occurrence(kept) if soft else kept
    counts = np.bincount(kept)
    alone = np.flatnonzero(counts < 2)
    if soft:
        kept = np.where(np.isin(kept, alone), counts.argmax(), kept)  # the largest share of one row only
    elif len(alone):
        names = shorten(samples.task.classes[index] for index in alone)
        raise OptionError("split", "method", f"holdout needs two samples of every class; there is one of {names}")
    try:
        splitter = StratifiedShuffleSplit(n_splits=1, test_size=split.holdout, random_state=seed)
        _, valid = next(splitter.split(np.zeros(len(samples)), by_occurrence(kept)))
    except ValueError:
        share = f"{split.holdout:g} of {len(samples)} samples"
        raise OptionError("split", "holdout", f"{share} leaves fewer than one of each of {len(counts)} classes on a side") from None
    return [valid]


def _hold_out_labels(samples: Samples, share: float, seed: int) -> Rows:
    assert samples.targets is not None
    parts = deal(mark_labels(samples.task, samples.targets), (1 - share, share), seed, samples.groups)
    if len(np.unique(parts)) < 2:
        of = counted(len(samples), "sample") if samples.groups is None else counted(len(set(samples.groups.tolist())), "group")
        raise OptionError("split", "holdout", f"{share:g} of {of} leaves none on a side")
    return np.flatnonzero(parts == 1)


def _hold_out_groups(samples: Samples, split: Split, seed: int) -> Rows:
    """Groups are dealt into parts as even as stratified_group makes them; as many parts are held out as come nearest to the share."""
    assert samples.groups is not None
    groups = len(set(samples.groups.tolist()))
    kept = strata_of(samples, split.bins, lambda counts: int(counts.max()) >= min(FINEST_HOLDOUT, groups))
    most = int(np.bincount(kept).max())
    if groups < 2 or most < 2:
        raise OptionError("split", "method", f"holdout needs two {'groups' if groups < 2 else 'samples of a class'} or more")
    finest = min(FINEST_HOLDOUT, groups, most)  # scikit-learn makes no more parts than the largest class has samples
    parts, held = min(
        ((parts, held) for parts in range(2, finest + 1) for held in range(1, parts)),
        key=lambda pair: abs(pair[1] / pair[0] - split.holdout),
    )
    check_counts(samples, "group", parts)
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with fewer samples than parts; check_folds looks at what came out
        pairs = list(splitter.split(np.zeros(len(samples)), by_occurrence(kept), samples.groups))
    return np.concatenate([valid for _, valid in pairs[:held]])

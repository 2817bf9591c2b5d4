"""Ids that begin with a person, a patient or a film, which nobody named as a group: `patient12_view3`, `subj01/img2.jpg`, `001498-1`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from modules.data.splits import Fold, divided

SEPARATORS = re.compile(r"[/\\_\-. ]+")
SUFFIX = re.compile(r"\.[A-Za-z]{2,5}$")
DEEPEST = 4  # separators that a prefix may hold
FEWEST = 10  # prefixes: a handful of them is a kind of image, a folder of files, a class
LARGEST = 0.2  # share of the samples that one of them may have
COVERED = 0.5  # share of the samples that at least must share theirs with another
CLASSES_TIMES = 3  # prefixes a class at least, where each has samples of one class only: fewer may be classes themselves
NO_GROUPS = re.compile(r"(shard|chunk|part)\W*\d*", re.IGNORECASE)
TOLD = 3


def describe_hidden_groups(what: str, ids: Sequence[str], labels: Sequence[str], folds: Sequence[Fold]) -> str | None:
    """That the ids begin with what looks like groups, with examples, where folds tear those; else None. ids, labels: (N,)."""
    prefixes = find_prefixes(ids, labels)
    if prefixes is None or not divided(np.array(prefixes), folds):
        return None
    counts = Counter(prefixes)
    shared = [(prefix, count) for prefix, count in counts.most_common() if count > 1]
    examples = ", ".join(f"{prefix} ({count} samples)" for prefix, count in sorted(shared[:TOLD]))
    return f"{what} look like groups that folds tear: {len(shared)} beginnings are shared, such as {examples}"


def find_prefixes(ids: Sequence[str], labels: Sequence[str]) -> list[str] | None:
    """(N,) the part of each id that looks like a group, the shortest such; the whole id where it has none. None where none are seen."""
    stems = [SUFFIX.sub("", each) for each in ids]
    ends = [[match.start() for match in SEPARATORS.finditer(stem) if match.start() > 0] for stem in stems]
    for depth in range(DEEPEST):
        prefixes = [stem[: end[depth]] if len(end) > depth else stem for stem, end in zip(stems, ends, strict=True)]
        if _are_groups(prefixes, stems, labels):
            return prefixes
    return None


def _are_groups(prefixes: Sequence[str], stems: Sequence[str], labels: Sequence[str]) -> bool:
    counts = Counter(prefixes)
    shared = {prefix: count for prefix, count in counts.items() if count > 1}
    if len(shared) < FEWEST or max(shared.values()) > LARGEST * len(prefixes) or sum(shared.values()) < COVERED * len(prefixes):
        return False
    if any(NO_GROUPS.fullmatch(PurePosixPath(prefix).name) for prefix in shared):
        return False
    if all(_begins_its_file(prefix, stem) for prefix, stem in zip(prefixes, stems, strict=True) if prefix in shared):
        return False
    return not _are_classes(prefixes, shared, labels)


def _begins_its_file(prefix: str, stem: str) -> bool:
    """`ab/ab34f0`, `001/001734`: a folder that spreads files over the disk, not one that gathers what belongs together."""
    folder, rest = PurePosixPath(prefix).name, stem[len(prefix) :]
    return rest[:1] in "/\\" and bool(re.match(rf"{re.escape(folder)}[0-9A-Za-z]", rest[1:]))


def _are_classes(prefixes: Sequence[str], shared: dict[str, int], labels: Sequence[str]) -> bool:
    """Whether each prefix has samples of one class only, and a class has too few of them to be people."""
    classes = defaultdict(set)
    for prefix, label in zip(prefixes, labels, strict=True):
        if prefix in shared:
            classes[prefix].add(label)
    return all(len(found) == 1 for found in classes.values()) and len(shared) < CLASSES_TIMES * len(set(labels))

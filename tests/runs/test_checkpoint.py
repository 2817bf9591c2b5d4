"""Checkpoints: whole or not at all, checked before they are believed, and one kept in reserve."""

from __future__ import annotations

import errno
import io
import os
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.compute.storage import write_atomically, write_sealed
from modules.config.errors import DataError
from modules.runs import checkpoint
from modules.runs.checkpoint import load_checkpoint, load_last, save_checkpoint, save_last
from modules.runs.directory import FoldDirectory
from tests.digests import digest_tensors


def content(epoch: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(epoch)
    model = {"weight": torch.randn(40, 30, generator=generator), "bias": torch.randn(30, generator=generator), "steps": torch.tensor(epoch)}
    return {"epoch": epoch, "model": model, "classes": ["a", "7"], "progress": {"best_score": 0.0, "waited": 0}, "none": None}


@pytest.fixture
def fold(tmp_path: Path) -> FoldDirectory:
    (tmp_path / "fold0").mkdir()
    return FoldDirectory(tmp_path / "fold0")


@pytest.fixture
def two(fold: FoldDirectory) -> FoldDirectory:
    """A fold with last.pt of epoch 2 and last.prev.pt of epoch 1."""
    save_last(fold, content(1))
    save_last(fold, content(2))
    return fold


def names(fold: FoldDirectory) -> set[str]:
    return {path.name for path in fold.path.iterdir()}


def test_what_was_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.pt", content(3))
    loaded = load_checkpoint(tmp_path / "best.pt")
    assert digest_tensors(loaded["model"]) == digest_tensors(content(3)["model"])
    assert {key: loaded[key] for key in loaded if key != "model"} == {key: value for key, value in content(3).items() if key != "model"}
    plain = torch.load(tmp_path / "best.pt", weights_only=True)
    assert digest_tensors(plain["model"]) == digest_tensors(content(3)["model"])


def test_the_first_last_has_no_predecessor_and_then_it_is_the_one_before(fold: FoldDirectory) -> None:
    save_last(fold, content(1))
    assert names(fold) == {"last.pt"}
    for epoch in (2, 3, 4):
        save_last(fold, content(epoch))
        assert load_checkpoint(fold.last)["epoch"] == epoch
        assert load_checkpoint(fold.previous)["epoch"] == epoch - 1
    assert names(fold) == {"last.pt", "last.prev.pt"}


def test_the_one_before_is_kept_without_hard_links_too(two: FoldDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    save_last(two, content(3))
    assert load_checkpoint(two.last)["epoch"] == 3 and load_checkpoint(two.previous)["epoch"] == 2
    assert names(two) == {"last.pt", "last.prev.pt"}


class FullDisk:
    """A file that takes `room` bytes and no more."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def fill_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    real = torch.save

    def save(value: Any, file: Any) -> None:
        data = io.BytesIO()
        real(value, data)
        FullDisk(file, room).write(data.getvalue()[: room + 1])

    monkeypatch.setattr(checkpoint.torch, "save", save)


@pytest.mark.parametrize("room", [0, 1000, 4000])
def test_a_write_that_fails_half_way_leaves_the_old_file(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, content(1))
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        fill_disk(patch, room)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(path, content(2))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.glob("*best*")] == ["best.pt"]
    save_checkpoint(path, content(2))
    assert load_checkpoint(path)["epoch"] == 2


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_flush_or_a_rename_that_fails_leaves_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, content(1))

    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="broken disk"):
        save_checkpoint(path, content(2))
    monkeypatch.undo()
    assert load_checkpoint(path)["epoch"] == 1


def test_data_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("fsync"), real_fsync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda source, target: (calls.append("replace"), real_replace(source, target))[1])
    save_checkpoint(tmp_path / "best.pt", content(1))
    assert calls[:2] == ["fsync", "replace"] and calls.count("replace") == 1


def test_a_full_disk_while_saving_last_leaves_one_that_can_be_gone_on_from(two: FoldDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fill_disk(patch, 2000)
        with pytest.raises(OSError, match="No space left"):
            save_last(two, content(3))
    state, warnings = load_last(two)
    assert state is not None and state["epoch"] == 2 and warnings == []


def test_nothing_yet_is_nothing(fold: FoldDirectory) -> None:
    assert load_last(fold) == (None, [])


def test_the_newest_is_loaded_without_a_warning(two: FoldDirectory) -> None:
    state, warnings = load_last(two)
    assert state is not None and state["epoch"] == 2 and warnings == []


def test_any_bit_of_the_file_that_flips_is_found_out_and_the_one_before_is_used(two: FoldDirectory) -> None:
    """Tensors, and what is around them: names, sizes, padding, the archive's directory, the digest itself."""
    whole = two.last.read_bytes()
    rng = random.Random(0)
    for position in [0, len(whole) - 1, *rng.sample(range(len(whole)), 200)]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randrange(8)
        two.last.write_bytes(damaged)
        state, (warning,) = load_last(two)
        assert state is not None and digest_tensors(state["model"]) == digest_tensors(content(1)["model"])
        assert warning.startswith(f"warning: {two.last}: damaged") and warning.endswith("; going back to the checkpoint before it")
        os.replace(two.path / "last.damaged.pt", two.last)


def test_a_truncated_last_is_found_out_wherever_it_ends(two: FoldDirectory) -> None:
    whole = two.last.read_bytes()
    for length in [0, 1, 30, 46, 47, len(whole) - 1, len(whole) - 47, len(whole) - 48, *range(100, len(whole), len(whole) // 100)]:
        two.last.write_bytes(whole[:length])
        state, warnings = load_last(two)
        assert state is not None and state["epoch"] == 1 and len(warnings) == 1, length
        assert "\n" not in warnings[0]


def test_zeros_in_place_of_the_newest_are_found_out(two: FoldDirectory) -> None:
    """What some file systems leave after a power cut."""
    two.last.write_bytes(bytes(two.last.stat().st_size))
    state, warnings = load_last(two)
    assert state is not None and state["epoch"] == 1 and len(warnings) == 1


def test_a_missing_newest_is_replaced_by_the_one_before(two: FoldDirectory) -> None:
    two.last.unlink()
    state, _ = load_last(two)
    assert state is not None and state["epoch"] == 1


def test_both_damaged_is_an_error_that_names_both(two: FoldDirectory) -> None:
    for path in (two.last, two.previous):
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError) as caught:
        load_last(two)
    assert len(caught.value.lines) == 2
    assert str(two.last) in caught.value.lines[0] and str(two.previous) in caught.value.lines[1]


@pytest.mark.parametrize("room", [0, 2000])
def test_going_on_from_the_one_before_never_gives_it_up_for_the_damaged_one(
    two: FoldDirectory, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """last.pt is damaged, training goes on from last.prev.pt, and the next save fails: last.prev.pt must still be good."""
    two.last.write_bytes(two.last.read_bytes()[:500])
    state, _ = load_last(two)
    assert state is not None and state["epoch"] == 1
    with monkeypatch.context() as patch:
        fill_disk(patch, room)
        with pytest.raises(OSError, match="No space left"):
            save_last(two, content(2))
    state, _ = load_last(two)
    assert state is not None and state["epoch"] == 1


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("sealed", [True, False])
def test_code_in_a_checkpoint_is_refused_and_never_run(sealed: bool, zipped: bool, tmp_path: Path) -> None:
    target, path = tmp_path / "pwned", tmp_path / "last.pt"
    bomb = {**content(1), "extra": Bomb(target)}
    write = write_sealed if sealed else write_atomically
    write(path, lambda file: torch.save(bomb, file, _use_new_zipfile_serialization=zipped))
    with pytest.raises(DataError, match=r"last\.pt: damaged, or no checkpoint of Foldini: "):
        load_checkpoint(path)
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists(), "the bomb is a dud, and the test above shows nothing"


@pytest.mark.parametrize("value", [{"weights": torch.zeros(2)}, [1, 2], torch.zeros(2), {}])
def test_a_file_of_torch_that_is_no_checkpoint_is_told_so(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save(value, path)
    with pytest.raises(DataError, match=r"last\.pt: damaged, or no checkpoint of Foldini: it does not end in the digest of its content$"):
        load_checkpoint(path)
    write_sealed(path, lambda file: torch.save(value, file))
    with pytest.raises(DataError, match=r"last\.pt: no checkpoint of Foldini$"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"best\.pt: no such checkpoint$"):
        load_checkpoint(tmp_path / "best.pt")


def test_equal_tensors_have_equal_digests_whatever_holds_them() -> None:
    one = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(7)}
    other = OrderedDict([("a", torch.tensor(7)), ("b", torch.arange(6.0).reshape(3, 2).T.contiguous().T.reshape(2, 3))])
    assert digest_tensors(one) == digest_tensors(other)
    strided = torch.arange(12.0).reshape(2, 6)[:, ::2]
    assert digest_tensors({"x": strided}) == digest_tensors({"x": strided.clone()})
    assert digest_tensors({"x": torch.nn.Parameter(torch.ones(2))}) == digest_tensors({"x": torch.ones(2)})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": torch.ones(2)}, {"b": torch.ones(2)}),
        ({"a": torch.ones(2)}, {}),
        ({"a": torch.ones(2)}, {"a": torch.ones(2), "b": torch.ones(0)}),
        ({"a": torch.zeros(2)}, {"a": torch.zeros(2, dtype=torch.int32)}),
        ({"a": torch.zeros(2, dtype=torch.float16)}, {"a": torch.zeros(2, dtype=torch.bfloat16)}),
        ({"a": torch.zeros(2, 3)}, {"a": torch.zeros(3, 2)}),
        ({"a": torch.zeros(1)}, {"a": torch.tensor(0.0)}),
        ({"a": torch.tensor(0.0)}, {"a": torch.tensor(-0.0)}),
        ({"a": torch.tensor([1.0])}, {"a": torch.nextafter(torch.tensor([1.0]), torch.tensor([2.0]))}),
        ({"a": torch.tensor(1.0, dtype=torch.bfloat16)}, {"a": torch.tensor(1.0078125, dtype=torch.bfloat16)}),
        ({"a": torch.tensor(True)}, {"a": torch.tensor(False)}),
        ({"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([2.0, 1.0])}),
        ({"a": torch.tensor(3)}, {"a": torch.tensor(3 + 2**40)}),
        ({"a": torch.ones(2), "b": torch.zeros(2)}, {"b": torch.ones(2), "a": torch.zeros(2)}),
    ],
    ids=str,
)
def test_tensors_that_differ_in_anything_have_other_digests(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert digest_tensors(one) != digest_tensors(other)
    assert digest_tensors(one) == digest_tensors({name: tensor.clone() for name, tensor in one.items()})

"""Rows on the disk: what was written is what is read, or it is told, whatever happens to the files."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.compute import row_store
from modules.compute.row_store import KEY_BYTES, RowStore
from modules.compute.storage import write_sealed
from modules.config.errors import DataError

NUMBERS = 5


def key(number: int) -> bytes:
    """Two differ in more than a bit, as digests do; nought bytes in front and behind."""
    return (number * 0x10101010101010101000).to_bytes(KEY_BYTES, "big")


def row(number: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(number).normal(size=NUMBERS).astype(dtype)


def make(folder: str | Path, dtype: str = "float32") -> RowStore:
    Path(folder).mkdir(exist_ok=True)
    return RowStore(Path(folder), NUMBERS, dtype)


def add(store: RowStore, numbers: Sequence[int]) -> list[int]:
    """Appends those that are missing, as computing features does; returns them."""
    with store.lock:
        store.refresh()
        new = [numbers[place] for place in store.missing([key(number) for number in numbers])]
        if new:
            store.append([key(number) for number in new], np.stack([row(number) for number in new]))
    return new


def check(store: RowStore, numbers: Sequence[int]) -> None:
    store.refresh()
    found = store.read(store.find([key(number) for number in numbers]))
    assert found.tobytes() == np.stack([row(number, store.dtype.name) for number in numbers]).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_it_is_a_dict_that_only_grows(dtype: str) -> None:
    rng, oracle, store = np.random.default_rng(0), set[int](), make("store", dtype)
    store.refresh()
    assert store.missing([key(1), key(2), key(1)]) == [0, 1]
    for _ in range(12):
        wanted = rng.integers(0, 300, rng.integers(1, 20)).tolist()
        assert sorted(add(store, wanted)) == sorted(set(wanted) - oracle)  # equal ones once
        oracle.update(wanted)
        for each in (store, make("store", dtype)):
            check(each, rng.permutation(sorted(oracle)).tolist())
            check(each, rng.choice(sorted(oracle), 30).tolist())
        assert store.missing([key(number) for number in range(300)]) == sorted(set(range(300)) - oracle)
    assert len(store.index) == len(oracle)
    assert Path("store/rows.bin").stat().st_size == len(oracle) * NUMBERS * np.dtype(dtype).itemsize


def test_what_others_add_is_there_after_a_refresh() -> None:
    one, other = make("store"), make("store")
    add(one, [1, 2])
    check(other, [2, 1])
    add(other, [3])
    assert one.missing([key(3)]) == [0]
    check(one, [3, 1])


def test_a_row_that_changed_on_the_disk_is_told_and_the_others_are_read() -> None:
    store = make("store")
    add(store, range(6))
    content = bytearray(Path("store/rows.bin").read_bytes())
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 1
        Path("store/rows.bin").write_bytes(damaged)
        hit = place // (NUMBERS * 4)
        check(store, [number for number in range(6) if number != hit])
        with pytest.raises(DataError, match=f"^store: damaged: row {hit} is not what was written; remove this folder"):
            store.read(store.find([key(hit)]))
    Path("store/rows.bin").write_bytes(content)
    check(store, range(6))


def test_a_file_that_was_cut_or_is_gone_is_told() -> None:
    add(make("store"), range(6))
    content = Path("store/rows.bin").read_bytes()
    Path("store/rows.bin").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"^store: damaged: rows\.bin is shorter than the 120 bytes that its index tells of; remove"):
        make("store").refresh()
    Path("store/rows.bin").unlink()
    with pytest.raises(DataError, match=r"rows\.bin is shorter"):
        make("store").refresh()


def test_an_index_of_another_layout_is_told() -> None:
    store = make("store")
    add(store, range(3))
    for index in (np.arange(3), np.zeros(3, dtype=[("key", "V8"), ("sum", "<u4")]), np.zeros((), dtype=store.index.dtype)):
        write_sealed(Path("store/keys.npy"), lambda file: np.save(file, index))  # noqa: B023 - called at once
        with pytest.raises(DataError, match=r"^store: damaged: keys\.npy is of another layout; remove"):
            store.refresh()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 as a zip file begins", b"\x93NUMPY\x01\x00\xff\xff", b"\x80\x04pickled"])
def test_an_index_that_is_none_is_told(content: bytes) -> None:
    store = make("store")
    add(store, range(3))
    Path("store/keys.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"^store: damaged: keys\.npy is not what was written; remove"):
        store.refresh()
    write_sealed(Path("store/keys.npy"), lambda file: file.write(content))
    with pytest.raises(DataError, match=r"^store: damaged: keys\.npy cannot be read \("):
        store.refresh()


def test_whatever_bit_of_the_index_changes_is_told() -> None:
    add(make("store"), range(6))
    content = Path("store/keys.npy").read_bytes()
    for place in range(len(content)):
        for bit in (1, 4, 64):
            damaged = bytearray(content)
            damaged[place] ^= bit
            Path("store/keys.npy").write_bytes(damaged)
            with pytest.raises(DataError, match=r"keys\.npy is not what was written"):
                make("store").refresh()


def test_a_kill_before_the_index_leaves_what_was_there_and_the_next_writes_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = make("store")
    add(store, [1, 2, 3])

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(row_store, "write_sealed", killed)
        with pytest.raises(KeyboardInterrupt):
            add(store, [4, 5, 6, 7])
    assert Path("store/rows.bin").stat().st_size == 7 * NUMBERS * 4
    other = make("store")
    check(other, [1, 2, 3])
    assert other.missing([key(4), key(2)]) == [0]
    add(other, [8])
    for each in (store, make("store")):
        check(each, [8, 1, 2, 3])
    assert Path("store/rows.bin").stat().st_size == 4 * NUMBERS * 4


def test_a_kill_in_the_middle_of_a_row_leaves_what_was_there() -> None:
    add(make("store"), [1, 2])
    with open("store/rows.bin", "ab") as file:
        file.write(b"half a row")
    check(make("store"), [1, 2])
    add(make("store"), [3])
    check(make("store"), [3, 2, 1])


def append_often(folder: str, numbers: list[int], started: Any) -> None:
    store = make(folder)
    started.wait()
    for start in range(0, len(numbers), 3):
        add(store, numbers[start : start + 3])
        check(store, numbers[: start + 3])


def test_processes_that_append_at_once_lose_nothing_and_write_no_row_twice() -> None:
    context = multiprocessing.get_context("fork")
    started = context.Barrier(2)
    parts = (list(range(60)), list(range(30, 90)))
    workers = [context.Process(target=append_often, args=("store", part, started)) for part in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    store = make("store")
    check(store, range(90))
    assert len(store.index) == 90


def test_nobody_appends_without_the_lock() -> None:
    store = make("store")
    with pytest.raises(AssertionError):
        store.append([key(1)], row(1)[None])

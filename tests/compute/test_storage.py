"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch

from modules.compute import storage
from modules.compute.storage import is_whole, write_atomically, write_json, write_sealed, write_text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("ours")])
@pytest.mark.parametrize("old", ["the old content", None])
def test_a_write_that_fails_half_way_keeps_the_old_file_and_leaves_nothing_else(
    tmp_path: Path, error: BaseException, old: str | None
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if old is not None:
        (folder / "last.pt").write_text(old, encoding="utf-8")

    def fail(file: BinaryIO) -> None:
        file.write(b"half of the new con")
        file.flush()
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomically(folder / "last.pt", fail)
    assert caught.value is error
    assert {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()} == ({} if old is None else {"last.pt": old})


def test_the_old_file_is_whole_while_the_new_one_is_written(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(b"old")

    def look(file: BinaryIO) -> None:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    write_atomically(path, look)
    assert path.read_bytes() == b"new"


def test_the_new_content_is_on_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(number: int) -> None:
        calls.append(f"fsync {os.fstat(number).st_size}")
        real_fsync(number)

    def replace(source: Path, target: Path) -> None:
        calls.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomically(tmp_path / "last.pt", lambda file: file.write(b"12345"))
    assert calls[:2] == ["fsync 5", "replace"]


def test_what_a_kill_left_behind_is_overwritten_not_collected(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    def killed(file: BinaryIO) -> None:
        names.append(Path(file.name).name)
        file.write(b"new")

    names: list[str] = []
    write_atomically(folder / "last.pt", killed)
    (folder / names[0]).write_bytes(b"a longer rest of a write that was killed")
    write_atomically(folder / "last.pt", killed)
    assert names[0] == names[1] and [file.name for file in folder.iterdir()] == ["last.pt"]
    assert (folder / "last.pt").read_bytes() == b"new"


def test_a_name_that_cannot_be_taken_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "run" / "last.pt").mkdir(parents=True)
    with pytest.raises(OSError, match=r"Is a directory|directory"):
        write_atomically(tmp_path / "run" / "last.pt", lambda file: file.write(b"x"))
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["last.pt"]


def test_text_and_json_are_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "고양이\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "고양이\r\n".encode()
    write_json(tmp_path / "a.json", {"이름": [1, 0.5, None]})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"이름": [1, 0.5, None]}
    assert "이름" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_sealed_file_is_whole_until_a_bit_or_its_length_changes() -> None:
    path = Path("sealed")
    for content in (b"", b"a", bytes(range(256)) * 5000):  # of several chunks
        write_sealed(path, lambda file: [file.write(content[:3]), file.write(content[3:])])  # noqa: B023 - called at once
        sealed = path.read_bytes()
        assert is_whole(path) and sealed.startswith(content) and sealed.endswith(hashlib.sha256(content).digest())
        for changed in (sealed[:-1], sealed[1:], sealed + b"\0", content, b"", bytes([sealed[0] ^ 1]) + sealed[1:]):
            path.write_bytes(changed)
            assert not is_whole(path)


def test_torch_and_numpy_read_a_sealed_file_as_their_own() -> None:
    write_sealed(Path("a.pt"), lambda file: torch.save({"a": torch.arange(5)}, file))
    write_sealed(Path("a.npy"), lambda file: np.save(file, np.arange(5)))
    for mapped in (False, True):
        assert torch.load("a.pt", weights_only=True, mmap=mapped)["a"].tolist() == [0, 1, 2, 3, 4]
    assert np.load("a.npy").tolist() == [0, 1, 2, 3, 4] and is_whole(Path("a.pt")) and is_whole(Path("a.npy"))


def test_a_disk_that_is_full_within_a_file_of_torch_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.save ends its archive even so, and what it raises then hides what was wrong."""
    real, writes = storage._Sealing.write, iter(range(1000))

    class Full:
        def __init__(self, file: BinaryIO) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            if next(writes) == 8:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    def write_to_full(sealing: Any, data: bytes) -> int:
        sealing.file = sealing.file if isinstance(sealing.file, Full) else Full(sealing.file)
        return real(sealing, data)

    monkeypatch.setattr(storage._Sealing, "write", write_to_full)
    with pytest.raises(OSError, match="No space left on device"):
        write_sealed(Path("a.pt"), lambda file: torch.save({"a": torch.arange(1000), "b": torch.arange(9)}, file))
    assert not list(Path().iterdir())

"""Tables in many encodings, with many separators, quotes, ids and labels, and with mistakes: read to the letter, or refused in a line.

python -m tests.faults.tables
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from modules.config.errors import UserError
from modules.config.schema import Data
from modules.data.sources.csv import load_train

ENCODINGS = ("utf-8", "utf-8-sig")
REFUSED_ENCODINGS = ("utf-16", "latin-1", "shift_jis", "cp949")
QUOTES = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL}
IDS = (
    "007", "7", "NA", "N/A", "None", "null", "nan", "NaN", "inf", "-1", "1e5", "1.0", "1", "True", "0x1F", "é", "가나", "a b", "a,b", "a;b",
    'a"b', "a'b", "#a", "=1+1", "@a", "-", "😀", "a\u200bb", "\uff41",
)  # fmt: skip
LABELS = ("NA", "None", "null", "nan", "007", "7", "10", "2", "True", "true", "café", "고양이", "a b", "a,b", '"', "0.10", "0.1")
MOST_LINES = 2  # where the table has neither ids nor labels
MISTAKES = {
    "an id twice": "id,label\n1,a\n1,b\n",
    "an id missing": "id,label\n,a\n2,b\n",
    "a label missing": "id,label\n1,\n2,b\n",
    "a label of white space": "id,label\n1, \n2,b\n",
    "one class": "id,label\n1,a\n2,a\n",
    "no rows": "id,label\n",
    "no header": "\n",
    "nothing": "",
    "only a mark": "\ufeff",
    "a column twice": "id,label,label\n1,a,a\n2,b,b\n",
    "another column": "id,lable\n1,a\n2,b\n",
    "a cell too many": "id,label\n1,a,x\n2,b\n",
    "an open quote": 'id,label\n1,"a\n2,b\n',
    "a quote within": 'id,label\n1,"a"x\n2,b\n',
    "a nought byte": "id,label\n1,a\0\n2,b\n\0",
    "labels alike but for white space": "id,label\n1,a\n2,a \n",
    "labels alike but for accents": "id,label\n1,\u00e9\n2,e\u0301\n",
    "a folder above": "id,label\n../1,a\n2,b\n",
    "an absolute path": "id,label\n/etc/passwd,a\n2,b\n",
    "a drive": "id,label\nC:\\1,a\n2,b\n",
    "a separator alone": ",\n,\n",
    "json": '{"id": 1}',
    "html": "<html>\n<body>\n",
    "a page of text": "version https://example.invalid\noid sha256:0\n",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """content: of train.csv. expected: ids and labels; None where it must be refused; `either` where both will do."""

    what: str
    content: bytes
    expected: tuple[list[str], list[str]] | None
    either: bool = False


def tables() -> Iterator[Table]:
    rows = [(name, LABELS[number % len(LABELS)]) for number, name in enumerate(IDS)]
    expected = ([name for name, _ in rows], [label for _, label in rows])
    for encoding, separates, ends, (name, quotes), blank in product(ENCODINGS, ",;\t", ("\n", "\r\n"), QUOTES.items(), (False, True)):
        text = written(rows, separates, ends, quotes) + (ends * 2 if blank else "")
        yield Table(f"{encoding} {separates!r} {ends!r} {name} {blank}", text.encode(encoding), expected)
    for encoding in REFUSED_ENCODINGS:
        text = written([("1", "é" if encoding == "latin-1" else "ネコ" if encoding == "shift_jis" else "고양이"), ("2", "b")], ",", "\n", 0)
        yield Table(encoding, text.encode(encoding), None)
    for name in IDS:
        yield Table(f"id {name!r}", written([(name, "a"), ("other", "b")], ",", "\n", 0).encode(), ([name, "other"], ["a", "b"]))
    for one, other in product(LABELS, repeat=2):
        if one != other:
            yield Table(
                f"labels {one!r}, {other!r}", written([("x", one), ("y", other)], ",", "\n", 0).encode(), (["x", "y"], [one, other])
            )
    for what, text in MISTAKES.items():
        yield Table(what, text.encode(), None, either=what == "a drive")


def written(rows: list[tuple[str, str]], separates: str, ends: str, quotes: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separates, lineterminator=ends, quoting=quotes)  # type: ignore[arg-type]
    writer.writerow(("id", "label"))
    writer.writerows(rows)
    return text.getvalue()


def fault_of(table: Table) -> str | None:
    """What is wrong with what comes of it; in the folder that the process stands in."""
    Path("train.csv").write_bytes(table.content)
    Path("sample_submission.csv").write_text("id,label\nt,a\n", encoding="utf-8")
    try:
        samples = load_train(Data(source="csv"), Path())
    except UserError as error:
        if table.expected is not None:
            return f"refused: {error}"
        return None if len(str(error).splitlines()) <= MOST_LINES else f"told in many lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if table.expected is None:
        return None if table.either else f"read: {samples.ids.tolist()}"
    assert samples.targets is not None
    found = samples.ids.tolist(), [samples.task.classes[target] for target in samples.targets]
    return None if found == table.expected else f"read as {found}"


def try_tables() -> tuple[int, list[str]]:
    """How many tables there were, and what was wrong with any; in the folder that the process stands in."""
    count, faults = 0, []
    for table in tables():
        count += 1
        fault = fault_of(table)
        if fault:
            faults.append(f"{table.what}: {fault}")
    return count, faults


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="tables-"))
    with chdir(folder):
        count, faults = try_tables()
    shutil.rmtree(folder)
    print(f"{count} tables, {len(faults)} faults", *faults, sep="\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

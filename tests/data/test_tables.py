"""CSV tables as text: nothing becomes a number or goes missing, and what is wrong is one line that says where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modules.config.errors import DataError, OptionError, UserError
from modules.data.tables import column, column_of_ids, read_table, separator

PATH = Path("train.csv")


def write(content: str | bytes, name: str = "train.csv") -> Path:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return Path(name)


def read(content: str | bytes) -> list[list[str]]:
    """The header and the rows."""
    table = read_table(write(content), "data", "train_csv")
    return [[str(name) for name in table.columns], *table.to_numpy().tolist()]


def refused(content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(content)
    (line,) = caught.value.lines
    assert line.startswith("train.csv: ") and "\n" not in line
    return line.removeprefix("train.csv: ")


def test_ids_and_labels_stay_the_text_that_they_are() -> None:
    words = [
        "007",
        "7",
        "1e5",
        "1.0",
        "NA",
        "None",
        "null",
        "NaN",
        "nan",
        "N/A",
        "",
        "true",
        "-",
        "inf",
        "1_000",
        " a ",
        "#N/A",
        "2020-01-01",
    ]
    text = "id,label\n" + "".join(f"x{row},{word}\n" for row, word in enumerate(words))
    assert [label for _, label in read(text)[1:]] == words
    assert [name for name, _ in read("id,label\n" + "".join(f"{word},x\n" for word in words))[1:]] == words


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_separators_line_ends_and_byte_order_marks_change_nothing(mark: bytes, end: str, sign: str) -> None:
    text = end.join(sign.join(cells) for cells in (["id", "label", "이름"], ["1", "고양이", "x y"], ["2", "d'og", ""])) + end
    assert read(mark + text.encode()) == [["id", "label", "이름"], ["1", "고양이", "x y"], ["2", "d'og", ""]]
    assert separator(PATH) == sign


def test_quoted_cells_keep_separators_quotes_and_line_ends() -> None:
    assert read('id,label\n"1,5","a ""b"" c"\n2,"x\ny"\n') == [["id", "label"], ["1,5", 'a "b" c'], ["2", "x\ny"]]


def test_a_decimal_comma_in_a_semicolon_table_is_text() -> None:
    assert read("id;label\n1,5;a\n2,5;b\n")[1:] == [["1,5", "a"], ["2,5", "b"]]


def test_cells_that_a_short_row_lacks_are_blank() -> None:
    assert read("id,label,group\n1,a\n2,b,g\n")[1:] == [["1", "a", ""], ["2", "b", "g"]]


@pytest.mark.parametrize(
    ("text", "line"),
    [("id,label\n1,a,x\n2,b,y\n", 2), ("id,label\n1,a\n2,b,x\n", 3), ("id,label\n1,a,\n2,b,\n", 2), ('id,label\n\n1,"a\nb"\n2,b,x\n', 5)],
)
def test_a_row_longer_than_the_header_is_refused_with_its_line_and_never_shifted(text: str, line: int) -> None:
    assert refused(text) == f"not a table: expected 2 cells in line {line}, got 3"


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    assert refused("id,label,label\n1,a,b\n") == "not a table: column 'label' stands more than once in its header"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a table: it is empty, or its first line is"),
        (b"\n\n\n", "not a table: it is empty, or its first line is"),
        (b"id,label\n", "the table has no rows"),
        (b"id,label", "the table has no rows"),
        ("id,label\n1,Läufe\n".encode("latin-1"), "expected UTF-8 text, got byte 0xe4; save the table as UTF-8"),
        ("id,label\n1,개\n".encode("cp949"), "expected UTF-8 text, got byte 0xb0; save the table as UTF-8"),
        ("id,label\n1,a\n".encode("utf-16"), "expected UTF-8 text, got byte 0xff; save the table as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "expected UTF-8 text, got byte 0x89; save the table as UTF-8"),
    ],
)
def test_what_is_not_a_table_is_one_line(content: bytes, message: str) -> None:
    assert refused(content) == message


def test_a_quote_that_never_ends_is_one_line() -> None:
    assert refused('id,label\n1,"a\n2,b\n').startswith("not a table: ")


def test_a_missing_table_is_told_the_nearest_and_the_tables_there_are() -> None:
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        write("id\n1\n", name)
    with pytest.raises(OptionError) as caught:
        read_table(Path("trian.csv"), "data", "train_csv")
    assert caught.value.args == (
        "data",
        "train_csv",
        "trian.csv: no such file; . has sample_submission.csv, test.csv, train.csv (did you mean train.csv?)",
    )


def test_a_missing_table_in_a_folder_without_any_or_in_no_folder_is_said() -> None:
    Path("empty").mkdir()
    with pytest.raises(OptionError, match=re.escape("empty/train.csv: no such file; empty has no .csv")):
        read_table(Path("empty/train.csv"), "data", "train_csv")
    with pytest.raises(OptionError, match=re.escape("nowhere/train.csv: no such file; nor its folder")):
        read_table(Path("nowhere/train.csv"), "data", "train_csv")


def test_a_folder_in_the_place_of_a_table_is_one_line() -> None:
    Path("train.csv").mkdir()
    with pytest.raises(UserError, match=r"train\.csv") as caught:
        read_table(PATH, "data", "train_csv")
    assert len(caught.value.lines) == 1


def test_a_missing_column_is_told_the_nearest_and_the_columns_there_are() -> None:
    table = read_table(write("image_id,Label,person\n1,a,b\n"), "data", "train_csv")
    with pytest.raises(OptionError) as caught:
        column(table, "label", PATH, "label_columns")
    assert caught.value.args == (
        "data",
        "label_columns",
        "train.csv has no column 'label' (did you mean Label?); it has image_id, Label, person",
    )
    assert column(table, "person", PATH, "group_column") == ["b"]


def test_missing_ids_are_refused_with_their_lines() -> None:
    table = read_table(write("id,label\n1,a\n,b\n3,c\n  ,d\n"), "data", "train_csv")
    with pytest.raises(DataError, match=r"^train\.csv, column 'id': 2 ids are missing, in lines 3, 5$"):
        column_of_ids(table, "id", PATH)


def test_lines_are_those_of_the_file_also_after_blank_lines_and_cells_of_several_lines() -> None:
    table = read_table(write('id,label\n1,a\n\n"2\n3",b\n,c\n'), "data", "train_csv")
    with pytest.raises(DataError, match=r"^train\.csv, column 'id': 1 id is missing, in line 6$"):
        column_of_ids(table, "id", PATH)


def test_ids_that_stand_twice_are_refused_with_their_lines() -> None:
    table = read_table(write("id,label\n1,a\n2,b\n01,c\n1,d\n2,e\n1,f\n"), "data", "train_csv")
    message = "train.csv, column 'id': 3 ids stand more than once: '1' in lines 2 and 5, '2' in lines 3 and 6, '1' in lines 2 and 7"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        column_of_ids(table, "id", PATH)


def test_ids_that_differ_only_as_text_are_different() -> None:
    ids = ["1", "01", "1.0", "1 ", "NA", "na", "a", "A"]
    table = read_table(write("id\n" + "\n".join(ids) + "\n"), "data", "train_csv")
    assert column_of_ids(table, "id", PATH) == ids


def test_an_id_with_a_carriage_return_is_refused_since_it_would_not_come_back() -> None:
    table = read_table(write('id,label\n"a\rb",1\nc,2\n'), "data", "train_csv")
    with pytest.raises(DataError, match=r"column 'id': 1 id holds a carriage return, in line 2$"):
        column_of_ids(table, "id", PATH)

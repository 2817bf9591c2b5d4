"""Code of one's own: found where Python looks, told apart by its content, and refused in a line that says where it went wrong."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from modules.compute.own_code import digest, files_of, forget, is_installed, load
from modules.config.errors import OptionError

PLACE = ("hyper_params", "metric")


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    forget()
    return path


def refused(code: str) -> str:
    with pytest.raises(OptionError) as caught:
        load(code, *PLACE)
    (line,) = caught.value.lines
    assert "\n" not in line and line.startswith("[hyper_params] metric: ")
    return line.removeprefix("[hyper_params] metric: ")


def test_a_function_or_a_class_of_a_file_here_is_loaded() -> None:
    write("my_metrics.py", "def score(): return 7\nclass Score: pass\n")
    assert load("my_metrics:score", *PLACE)() == 7
    assert load("my_metrics:Score", *PLACE).__name__ == "Score"


def test_a_module_of_a_package_here_and_of_an_installed_one_are_loaded() -> None:
    write("mine/inner/metrics.py", "def score(): return 8\n")
    assert load("mine.inner.metrics:score", *PLACE)() == 8
    assert not is_installed("mine.inner.metrics:score", *PLACE)
    assert load("sklearn.metrics:accuracy_score", *PLACE)([1, 0], [1, 1]) == 0.5
    assert is_installed("sklearn.metrics:accuracy_score", *PLACE) and is_installed("math:sqrt", *PLACE)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("my_metrcs:score", "there is no module 'my_metrcs' in this folder or among the installed packages (did you mean my_metrics?)"),
        ("zzz:score", "there is no module 'zzz' in this folder or among the installed packages; there is broken, empty, helper"),
        ("mine.metrcs:score", "there is no module 'metrcs' in the package mine (did you mean metrics?)"),
        ("my_metrics.inner:score", "my_metrics is a module, and no package that could have a 'inner' in it"),
        ("my_metrics:scor", "my_metrics has no 'scor' (did you mean score?); it has score, Other"),
        ("my_metrics:np", "my_metrics:np is of type module; expected a function or a class"),
        ("my_metrics:LIMIT", "my_metrics:LIMIT is of type int; expected a function or a class"),
        ("empty:score", "empty has no 'score'; it has no function or class of its own"),
        ("random:score", "random has no 'score'"),
        ("broken:score", "broken cannot be imported: SyntaxError: expected ':' (broken.py:2)"),
        ("raising:score", "raising cannot be imported: ValueError: no weights here (helper.py:2)"),
        ("leaving:score", "leaving cannot be imported: SystemExit: 3 (leaving.py:2)"),
        ("missing:score", "missing cannot be imported: ModuleNotFoundError: No module named 'no_such_thing' (missing.py:1)"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(code: str, message: str) -> None:
    write("my_metrics.py", "import numpy as np\nLIMIT = 3\ndef score(): ...\nclass Other: ...\ndef _hidden(): ...\n")
    write("mine/__init__.py", "")
    write("mine/metrics.py", "")
    write("empty.py", "")
    write("broken.py", "x = 1\ndef score()\n    pass\n")
    write("helper.py", "def fail():\n    raise ValueError('no\\nweights   here')\n")
    write("raising.py", "import helper\nhelper.fail()\n")
    write("leaving.py", "import sys\nsys.exit(3)\n")
    write("missing.py", "import no_such_thing\n")
    assert refused(code).startswith(message)


def test_a_file_that_is_called_like_a_module_of_python_is_told_to_have_another_name() -> None:
    write("random.py", "def score(): ...\n")
    assert refused("random:score").endswith("(random is a module of Python or of an installed package; a file of yours wants another name)")


def test_a_job_reads_a_changed_file_anew_and_one_that_is_under_way_does_not() -> None:
    write("my_metrics.py", "def score(): return 1\n")
    assert load("my_metrics:score", *PLACE)() == 1
    Path("my_metrics.py").write_text("def score(): return 22\n")
    assert load("my_metrics:score", *PLACE)() == 1
    forget()
    assert load("my_metrics:score", *PLACE)() == 22


def test_another_folder_has_another_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my_metrics.py").write_text("from my_helper import score\n")
        (tmp_path / name / "my_helper.py").write_text(f"def score(): return '{name}'\n")
    for name in ("one", "two", "one"):
        monkeypatch.chdir(tmp_path / name)
        assert load("my_metrics:score", *PLACE)() == name


def test_the_digest_is_of_the_file_and_of_all_that_it_imports_here_and_of_nothing_else() -> None:
    write("my_metrics.py", "import numpy\nfrom mine import helper\ndef score():\n    import late\n")
    write("mine/__init__.py", "from . import other\n")
    write("mine/helper.py", "from .deep.down import x\n")
    write("mine/other.py", "")
    write("mine/deep/down.py", "x = 1\n")
    write("late.py", "")
    write("unused.py", "")
    files = files_of("my_metrics:score", *PLACE)
    assert list(files) == ["late.py", "mine/__init__.py", "mine/deep/down.py", "mine/helper.py", "mine/other.py", "my_metrics.py"]
    assert all(path.is_file() for path in files.values())
    first = digest("my_metrics:score", *PLACE)
    Path("unused.py").write_text("changed = True\n")
    assert digest("my_metrics:score", *PLACE) == first
    for name in files:
        before = Path(name).read_text()
        Path(name).write_text(f"{before}\n# changed\n")
        assert digest("my_metrics:score", *PLACE) != first, name
        Path(name).write_text(before)
    assert digest("my_metrics:score", *PLACE) == first


def test_files_that_import_each_other_end() -> None:
    write("one.py", "import two\ndef f(): ...\n")
    write("two.py", "import one\n")
    assert list(files_of("one:f", *PLACE)) == ["one.py", "two.py"]


def test_processes_that_are_started_look_here_too() -> None:
    """As the loader's workers do, where they are not forked."""
    write("my_metrics.py", "def score(): return 9\n")
    load("my_metrics:score", *PLACE)
    assert str(Path.cwd()) in sys.path and sys.path[0] != str(Path.cwd())
    assert importlib.import_module("my_metrics").score() == 9
    code = f"import sys; sys.path = {sys.path!r}; import my_metrics; print(my_metrics.score())"
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == "9\n"


def test_what_a_library_puts_first_on_pythons_path_is_not_the_folder_of_the_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray does with packages that come with it, when it is imported."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/aaa.py").write_text("def score(): return 1\n")
    write("my_metrics.py", "def score(): return 7\n")
    before = refused("zzz:score")
    monkeypatch.syspath_prepend(tmp_path / "theirs")
    assert refused("zzz:score") == before and "aaa" not in before
    assert is_installed("aaa:score", *PLACE) and not is_installed("my_metrics:score", *PLACE)

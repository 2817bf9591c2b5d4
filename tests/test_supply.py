"""What the project is made of, and what its code must never do: known holes are closed by floors, and nothing that is read is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = Path(__file__).parents[1]
# The first versions without the holes, or with the behaviour, that the comments in the files of requirements name.
FLOORS = {"torch": "2.10", "Pillow": "12.3", "scikit-learn": "1.8", "albumentations": "2.0.8", "ray": "2.54"}
CODE = [*PROJECT.glob("*.py"), *PROJECT.glob("modules/**/*.py"), *PROJECT.glob("benchmarks/*.py"), *PROJECT.glob(".ci/*.py")]
RUNS_WHAT_IT_READS = {"eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "dill.load", "joblib.load", "pd.read_pickle"}
RUNS_WHAT_IT_READS |= {"marshal.loads", "shelve.open", "yaml.load", "os.system", "os.popen", "torch.hub.load", "torch.jit.load"}
MUST_SAY = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "numpy.load": ("allow_pickle", False)}


def requirements() -> Iterator[Requirement]:
    for file in PROJECT.glob("requirements*.txt"):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith(("#", "-r")):
                yield Requirement(line)


@pytest.mark.parametrize("name", FLOORS)
def test_floors_close_known_holes(name: str) -> None:
    (found,) = [each for each in requirements() if each.name == name]
    below = Version(re.sub(r"\d+$", lambda last: str(int(last[0]) - 1), FLOORS[name]))
    assert found.specifier.contains(FLOORS[name]) and not found.specifier.contains(str(below)), f"{found}, below {FLOORS[name]}"
    assert Version(version(name)) >= Version(FLOORS[name])


def test_every_requirement_has_a_floor() -> None:
    assert not [str(each) for each in requirements() if not any(part.operator in (">=", "==") for part in each.specifier)]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def dangers(source: str) -> list[str]:
    found = []
    for name, call in calls(ast.parse(source)):
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name in RUNS_WHAT_IT_READS or said.get("shell") == "True":
            found.append(ast.unparse(call))
        if name in MUST_SAY and said.get(MUST_SAY[name][0]) != str(MUST_SAY[name][1]):
            found.append(ast.unparse(call))
    return found


def test_no_code_runs_what_it_reads() -> None:
    assert len(CODE) > 150
    found = {str(path.relative_to(PROJECT)): danger for path in CODE if (danger := dangers(path.read_text(encoding="utf-8")))}
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "pickle.loads(x)",
        "run(x, shell=True)",
    ],
)
def test_what_would_run_would_be_found(source: str) -> None:
    assert dangers(source)
    assert not dangers("torch.load(f, weights_only=True); np.load(f, allow_pickle=False); model.eval()")

"""The page holds all it shows, in a form that any browser takes, whatever names and texts a run brings along."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from modules.data.task import Output, Scale, Task, classification
from modules.reporting.report import render_report
from tests.reporting.facts_made import made_facts, picture
from tests.some import some

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """Text by the section that it stands in, and every address; fails where tags do not close each other."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.texts: dict[str | None, str] = {}
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert self.open == []

    @property
    def section(self) -> str | None:
        return next((name for tag, name in self.open if tag == "section"), None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.addresses += [str(values[name]) for name in ("src", "href", "action", "poster", "data") if name in values]
        assert not any(name.startswith("on") for name in values)
        if tag not in VOID:
            self.open.append((tag, values.get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag
        self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        self.texts[self.section] = self.texts.get(self.section, "") + data

    def images(self, kind: str) -> list[bytes]:
        start = f"data:{kind};base64,"
        return [base64.b64decode(each[len(start) :]) for each in self.addresses if each.startswith(start)]


def test_a_page_asks_for_nothing_and_runs_nothing() -> None:
    text = render_report(made_facts(mistakes=[picture("a.png")], suspicious=[picture("b.png", (300, 200))]))
    page = Page(text)
    assert all(address.startswith("data:") for address in page.addresses)
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "base"}
    assert "@import" not in text and not re.search(r"url\((?!data:)", text)
    assert '<meta name="viewport" content="width=device-width' in text
    parts = ["next", "folds", "learning", "classes", "probabilities", "mistakes", "labels", "work", "config"]
    assert [name for name in page.texts if name] == parts


def test_plots_are_drawings_and_pictures_are_small() -> None:
    page = Page(render_report(made_facts(mistakes=[picture("a.png"), picture("b.png", (500, 300), 1)])))
    plots = [ElementTree.fromstring(svg) for svg in page.images("image/svg+xml")]
    assert len(plots) == 8, "balance, three of learning, confusion, reliability, two of curves"
    assert not any(
        name.endswith("}href") and not value.startswith(("#", "data:"))
        for plot in plots
        for part in plot.iter()
        for name, value in part.items()
    )
    shown = [Image.open(BytesIO(each)) for each in page.images("image/png")]
    assert [image.size for image in shown] == [(48, 32), (48, 32)], "what is small stays exact: the image, and its evidence"
    (large, evidence) = [Image.open(BytesIO(each)) for each in page.images("image/jpeg")]
    assert large.size == evidence.size == (134, 224)


def test_the_same_facts_give_the_same_page() -> None:
    assert render_report(made_facts(mistakes=[picture("a")])) == render_report(made_facts(mistakes=[picture("a")]))


def test_numbers_are_those_of_the_run() -> None:
    targets = np.arange(120) % 3
    given = targets.copy()
    given[:12] = (targets[:12] + 1) % 3
    facts = made_facts(
        targets=targets, values=np.eye(3)[given] * 0.97 + 0.01, result={"oof": 0.9, "mean": 0.9, "std": 0.01, "folds": [0.91, 0.89]}
    )
    page = Page(render_report(facts))
    assert "accuracy 0.9000 folds 0.9000 ± 0.0100" in " ".join(page.texts[None].split())
    classes = " ".join(page.texts["classes"].split())
    assert "4 of cat (10 %) told to be dog" in classes
    assert "cat 0.900 0.900 0.900 40" in classes
    assert re.search(r"fold 0 100 2\.0 s 20 s", " ".join(page.texts["work"].split()))
    assert "memory at most 1.00 GiB" in page.texts["work"]
    assert "hyper_params.epochs" in page.texts["config"] or "All by default" in page.texts["config"]
    assert re.search(r"0 0\.9100 5 of 10 0\.5000 0\.5000 60", " ".join(page.texts["folds"].split()))


@pytest.mark.parametrize(
    "name",
    some(
        [
            "<script>alert(1)</script>",
            "$x_1$ & $",
            "고양이",
            "{{ 7 * 7 }}",
            "a" * 200,
            "\\frac{1}",
            "%s",
            '"quoted"',
            "😀",
            "_background_",
            "\x01\x1b",
        ],
        every=6,
    ),
)
def test_names_are_text(name: str) -> None:
    """Of classes, images and runs: nothing in them is HTML, TeX or a template."""
    task = classification(name, (name, "dog", "eel"))
    text = render_report(made_facts(task=task, name=name, mistakes=[picture(name)], suspicious=[picture(name)]))
    page = Page(text)
    assert "script" not in page.tags
    assert name in page.texts["classes"] and name in page.texts["mistakes"] and name in page.texts[None]


@pytest.mark.parametrize(("kind", "plots"), some({"multilabel": 7, "ordinal": 5, "multioutput": 9, "binary": 8, "regression": 5}.items()))
def test_every_task_has_its_page(kind: str, plots: int) -> None:
    rng = np.random.default_rng(0)
    outputs = (Output("one", ("a", "b")), Output("two", ("c", "d", "e")))
    numbers = Task("regression", (Output("x", (), Scale(0, 1, None, None)), Output("y", (), Scale(0, 100, None, None))))
    cases = {
        "multilabel": (classification("labels", ("a", "b"), "multilabel"), rng.integers(0, 2, (40, 2)), rng.random((40, 2))),
        "ordinal": (classification("grade", ("a", "b", "c"), "ordinal"), np.arange(40) % 3, rng.random((40, 1)) * 2),
        "binary": (classification("yes", ("a", "b"), "binary"), np.arange(40) % 2, np.tile([0.3, 0.7], (40, 1))),
        "multioutput": (Task("multioutput", outputs), rng.integers(0, 2, (40, 2)), rng.dirichlet([1, 1], 40).repeat(3, 1)[:, :5]),
        "regression": (numbers, rng.random((40, 2)), rng.random((40, 2))),
    }
    task, targets, values = cases[kind]
    page = Page(render_report(made_facts(task=task, targets=targets, values=values)))
    assert ("classes" in page.texts) is (kind != "regression")
    assert ("probabilities" in page.texts) is (kind != "ordinal")
    assert len(page.images("image/svg+xml")) == plots


def test_a_run_that_validated_nothing_has_a_page() -> None:
    empty = {"folds": [None], "mean": None, "std": None, "oof": None, "coverage": 0.0, "fold_numbers": [0], "best_epochs": [10]}
    facts = made_facts(result=empty, targets=np.zeros(0, dtype=np.int64), values=np.zeros((0, 3)), histories={0: []})
    page = Page(render_report(facts))
    assert "nothing was validated" in page.texts[None] and "classes" not in page.texts
    assert "nan" not in page.texts["folds"] and "nothing to go by" in page.texts["next"]


def test_what_is_missing_is_said() -> None:
    page = Page(render_report(made_facts(remarks=["There are no pictures: data/digits is gone"])))
    assert "There are no pictures: data/digits is gone" in page.texts["next"]
    assert "mistakes" not in page.texts

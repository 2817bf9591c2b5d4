"""A page for a browser that asks for nothing outside of itself: its template filled, its pictures inside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from modules.reporting.pictures import foreign_scripts

TEMPLATES = Path(__file__).parent  # page.css.jinja is what all of them include


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def render(template: str, content: Mapping[str, Any]) -> str:
    """The page that the template of that name, in this folder, makes of the content; every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**content)


def embed_figure(figure: Figure | None) -> str:
    """As the source of an image, an SVG that is the same for the same figure; none where there is no figure."""
    if figure is None:
        return ""
    file = BytesIO()
    with foreign_scripts(), rc_context({"svg.hashsalt": "foldini", "svg.fonttype": "path"}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return embed("image/svg+xml", file.getvalue())


def embed(kind: str, content: bytes) -> str:
    """As the source of an image. kind: its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def tell_time(seconds: float) -> str:
    """`95 s`, `12 min`, `3.4 h`."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"

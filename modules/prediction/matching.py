"""What a template calls ids and classes, beside what the test set and the training table call them: the same but for a trifle, or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from modules.config.errors import counted, hint, shorten
from modules.data.sources.csv import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Match:
    """of: what is known, by the name that the template has for it. but_for: how they differ, in words; blank where they do not."""

    of: Mapping[str, str]
    but_for: str = ""


def match_names(found: Sequence[str], known: Sequence[str]) -> Match | None:
    """A name of the template for each of those that are `known`, each another one; the template may have more.

    They are equal; or but for case and punctuation; or but for the same text before or behind all of them. None where they
    are not, or where there are several ways.
    """
    if set(known) <= set(found):
        return Match({name: name for name in known})
    plain = _one_to_one([name for name in found if _plain(name) in set(map(_plain, known))], known, _plain)
    if plain is not None:
        return Match(plain, "case and punctuation")
    ways = {tuple(way): between for way, between in (*_framed(found, known), *_bared(found, known))}
    if len(ways) != 1:
        return None
    ((names, (before, behind)),) = ways.items()
    told = [f"'{before}' before"] if before else []
    told += [f"'{behind}' behind"] if behind else []
    return Match(dict(zip(names, known, strict=True)), f"{' and '.join(told)} them")


def match_ids(found: Sequence[str], known: Sequence[str]) -> Match | None:
    """The test set's id for each of the template's, one to one: equal, or but for an image's suffix. None where they are not."""
    if set(found) == set(known):
        return Match({name: name for name in known})
    of = _one_to_one(found, known, without_suffix)
    if of is None:
        return None
    first = found[0]
    return Match(of, f"the image's suffix ({first} for {of[first]})")


def tell_id_difference(found: Sequence[str], known: Sequence[str]) -> str:
    """How the ids of the template and of the test set differ, in words."""
    missing, left = sorted(set(found) - set(known)), sorted(set(known) - set(found))
    told = []
    if missing:
        told.append(f"{counted(len(missing), 'id is', 'ids are')} in the template alone ({shorten(missing, 3)})")
    if left:
        told.append(f"{counted(len(left), 'id is', 'ids are')} in the test set alone ({shorten(left, 3)})")
    if missing and left:
        if _one_to_one(found, known, lambda name: name.lstrip("0")) is not None:
            told.append("they differ by zeros in front alone, which are lost where a program takes ids for numbers")
        elif both := {without_suffix(name) for name in missing} & {without_suffix(name) for name in left}:
            told.append(f"{len(both)} of them would fit but for the image's suffix, and the others would not")
    return "; ".join(told)


def tell_name_difference(found: Sequence[str], known: Sequence[str], noun: str) -> str:
    """Which of the known names have no column, and which columns have no name, in words; blank where there are none."""
    missing, more = [name for name in known if name not in found], [name for name in found if name not in known]
    told = [f"no column for {noun} {shorten(missing)}"] if missing else []
    told += [f"no {noun} for column {shorten(more)}{hint(more[0], missing)}"] if more else []
    return "; ".join(told)


def without_suffix(name: str) -> str:
    """The id without an image's suffix, if it has one."""
    suffix = next((each for each in IMAGE_SUFFIXES if name.lower().endswith(each)), "")
    return name[: len(name) - len(suffix)]


def _one_to_one(found: Sequence[str], known: Sequence[str], key: Callable[[str], str]) -> dict[str, str] | None:
    """The known name of each found one, by equal keys."""
    by_key = {key(name): name for name in known}
    keys = [key(name) for name in found]
    if len(by_key) < len(known) or len(set(keys)) < len(keys) or set(keys) != set(by_key):
        return None
    return {name: by_key[each] for name, each in zip(found, keys, strict=True)}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.strip().casefold())


def _framed(found: Sequence[str], known: Sequence[str]) -> Iterator[tuple[list[str], tuple[str, str]]]:
    """Ways in which the template's names are the known ones with the same text before and behind each; and those texts."""
    there = set(found)
    for name in found:
        for place in re.finditer(f"(?={re.escape(known[0])})", name):
            before, behind = name[: place.start()], name[place.start() + len(known[0]) :]
            way = [f"{before}{each}{behind}" for each in known]
            if there.issuperset(way):
                yield way, (before, behind)


def _bared(found: Sequence[str], known: Sequence[str]) -> Iterator[tuple[list[str], tuple[str, str]]]:
    """Ways in which the known names are the template's with the same text before and behind each; and those texts."""
    there = set(found)
    for name in filter(None, found):
        for place in re.finditer(f"(?={re.escape(name)})", known[0]):
            before, behind = known[0][: place.start()], known[0][place.start() + len(name) :]
            way = [each[len(before) : len(each) - len(behind)] for each in known]
            if there.issuperset(way) and all(f"{before}{bare}{behind}" == each for bare, each in zip(way, known, strict=True)):
                yield way, (before, behind)

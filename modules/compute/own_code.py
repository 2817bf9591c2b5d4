"""Code of one's own, `package.module:name`: loaded, refused in a line where it cannot be, and told apart by its content.

A module is looked for where Python looks: in the script's folder first, and right behind that in the current folder. What the
code must be able to do is the business of whoever asks for it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from modules.compute.own_files import files_below
from modules.config.errors import OptionError, hint, shorten
from modules.config.own_code import OwnCode, own_code
from modules.config.schema import Config

OURS = Path(__file__).parents[1]
SCRIPTS = ("train", "inference", "look", "tune")
PYTHON = Path(inspect.__file__).parent
INSTALLED = ("site-packages", "dist-packages")
FAILURES = (Exception, SystemExit)  # what code of one's own may raise; sys.exit() in it would end the script without a word

_loaded: dict[str, Path] = {}  # modules of one's own, each with the folder that was the current one then
_added: list[str] = []  # to Python's path


def load(code: str, section: str, option: str) -> Callable[..., Any]:
    """The function or class that `code`, a `package.module:name`, names.

    Raises OptionError, in a line, where there is no such module, where importing it fails, where it has no such name, or
    where that cannot be called.
    """
    name = _name(code)
    module = _import(name.module, section, option)
    if name.attribute not in vars(module):
        names = [key for key, value in vars(module).items() if _is_offered(key, value, module)]
        there = f"; it has {shorten(names)}" if names else "; it has no function or class of its own"
        raise OptionError(
            section, option, f"{name.module} has no '{name.attribute}'{hint(name.attribute, names)}{there}{_elsewhere(module)}"
        )
    found = vars(module)[name.attribute]
    if not callable(found):
        raise OptionError(section, option, f"{name} is of type {type(found).__name__}; expected a function or a class")
    return found  # type: ignore[no-any-return]


def named_in(config: Config, training: bool = True) -> dict[OwnCode, tuple[str, str]]:
    """All code of one's own that a config names, each with the section and option that names it first.

    training: also what inference does without.
    """
    found: dict[OwnCode, tuple[str, str]] = {}
    for section, option in (("model", "name"), ("hyper_params", "loss"), ("hyper_params", "metric")):
        code = own_code(str(getattr(getattr(config, section), option)))
        if code is not None:
            found.setdefault(code, (section, option))
    for option in ("train", "valid") if training else ("valid",):
        pipeline = getattr(config.augmentation, option)
        for code in () if pipeline is None else pipeline.own_code:
            found.setdefault(code, ("augmentation", option))
    return found


def digests_of(config: Config, training: bool = True) -> dict[str, str]:
    """By each name in the config. Raises OptionError."""
    return {str(code): digest(code, *place) for code, place in named_in(config, training).items()}


def digest(code: str, section: str, option: str) -> str:
    """Of the content of its module's file, and of those of one's own that this imports."""
    total = sha256()
    for name, path in files_of(code, section, option).items():
        content = path.read_bytes()
        total.update(f"{name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def files_of(code: str, section: str, option: str) -> dict[str, Path]:
    """The file of its module, and those of one's own that this imports, by their places in the folder that they are found from.

    Of an installed package it is the module's own file alone.
    """
    name = _name(code)
    module = _import(name.module, section, option)
    folder = _folder_of(module)
    if folder is not None:
        return files_below(name.module, folder, OURS)
    file = getattr(module, "__file__", None)
    return {name.module: Path(file)} if file else {}


def is_installed(code: str, section: str, option: str) -> bool:
    """Whether it comes with an installed package, or with Python, and not from a file of one's own."""
    return _folder_of(_import(_name(code).module, section, option)) is None


def signature_of(function: Callable[..., Any], code: str) -> inspect.Signature:
    """Raises ValueError with a phrase where it has none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise ValueError(f"{code} does not tell which arguments it takes; write a function around it") from None


def explain(error: BaseException) -> str:
    """What went wrong in code of one's own, in a line: the kind, what it says, and where in one's own file."""
    told = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    reason = f"{type(error).__name__}: {told}" if told else type(error).__name__
    place = _place(error)
    return f"{reason} ({place})" if place else reason


def fails_in_own(error: BaseException) -> bool:
    """Whether a file of one's own raised it, or what that called."""
    return bool(_place(error))


def _name(code: str) -> OwnCode:
    name = own_code(code)
    assert name is not None, code
    return name


def _import(name: str, section: str, option: str) -> ModuleType:
    """The module of that name. Raises OptionError."""
    here = Path.cwd()
    if any(folder != here for folder in _loaded.values()):
        forget()
    _look_in(str(here))
    known = set(sys.modules)
    try:
        return importlib.import_module(name)
    except FAILURES as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise OptionError(section, option, _no_module(error.name)) from None
        raise OptionError(section, option, f"{name} cannot be imported: {explain(error)}") from None
    finally:
        _loaded.update({each: here for each in sys.modules.keys() - known if _is_in(here, sys.modules[each])})


def _is_in(here: Path, module: ModuleType) -> bool:
    """Whether it is a file, or a folder of files, in the current folder or the script's."""
    places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    paths = [Path(place) for place in places if place]
    return any(_is_own(path) and any(path.is_relative_to(folder) for folder in (here, OURS.parent)) for path in paths)


def _is_own(path: Path) -> bool:
    """Whether it is neither Python's nor Foldini's, nor of an installed package."""
    return not path.is_relative_to(OURS) and not path.is_relative_to(PYTHON) and not any(part in INSTALLED for part in path.parts)


def _is_offered(name: str, value: Any, module: ModuleType) -> bool:
    return callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def _look_in(here: str) -> None:
    """Has Python look there too, and the processes that this one starts; no more where the current folder was before."""
    others = [each for each in sys.path[1:] if each not in (here, *_added)]
    added = [] if sys.path[0] in ("", here) else [here]
    sys.path[1:] = [*added, *others]
    _added[:] = added


def forget() -> None:
    """Lets files of one's own be imported anew, since they may be others by now. A job does so as it begins."""
    for name in _loaded:
        sys.modules.pop(name, None)
    _loaded.clear()
    importlib.invalidate_caches()


def _folder_of(module: ModuleType) -> Path | None:
    """The folder of one's own in which Python found the module's outermost package; None where that is no such folder."""
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(file).absolute()
    folder = path.parents[module.__name__.count(".") + (path.name == "__init__.py")]
    return folder if folder in {Path(each).absolute() for each in (OURS.parent, ".")} else None


def _no_module(missing: str) -> str:
    """missing: as much of the name as there is no module of."""
    parent, _, last = missing.rpartition(".")
    folders = [Path.cwd(), OURS.parent]
    where = "in this folder or among the installed packages"
    if parent:
        folders = [Path(each) for each in getattr(sys.modules.get(parent), "__path__", ())]
        where = f"in the package {parent}"
        if not folders:
            return f"{parent} is a module, and no package that could have a '{last}' in it"
    stems = {_stem(path) for folder in folders if folder.is_dir() for path in folder.iterdir()}
    names = sorted(stems - {"", *SCRIPTS, OURS.name})
    there = f"; there is {shorten(names)}" if names else ""
    return f"there is no module '{last}' {where}{hint(last, names) or there}"


def _stem(path: Path) -> str:
    """What a file or a package is imported as; blank for anything else."""
    if path.suffix == ".py" and path.stem.isidentifier():
        return path.stem
    return path.name if (path / "__init__.py").is_file() else ""


def _elsewhere(module: ModuleType) -> str:
    """Says so where a module is none of one's own; a file of one's own may be called like it."""
    if _folder_of(module) is not None:
        return ""
    return f" ({module.__name__} is a module of Python or of an installed package; a file of yours wants another name)"


def _place(error: BaseException) -> str:
    """FILE:LINE, the innermost that is one's own; blank where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(OURS):
            return ""
        if path.is_file() and _is_own(path):
            return f"{path.name}:{frame.lineno}"
    return ""

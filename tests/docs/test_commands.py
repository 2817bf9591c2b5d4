"""Every command of the docs is read, and run in the order in which its page gives it, on a small contest; every INI is read."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from modules.config.command_line import read_command
from modules.config.reader import read_config
from modules.models.names import check_name
from tests.docs.pages import PAGES, READMES, RECIPES, ROOT, Command, blocks, commands_in, commands_of, every, mentioned_in
from tests.making import FAST, make_contest, write_config
from tests.tiny import TINY

SETTING_UP = ".ci/run runs this block word for word in a clean clone"
PACKAGES = "a package's own installer; requirements-dev.txt has what it installs, and the tests of the option use it"
RAY = "Ray's own command, on machines of a cluster; test_ray_folds.py starts such a cluster on one"
SLURM = "a cluster's own commands, which are not here, as the page says; the command of Foldini's in it is read"

# What is not run here: the command, and why, or by what it is covered instead.
EXCUSED: Mapping[str, str] = {
    "python3 -m venv .venv": SETTING_UP,
    ".venv/bin/pip install -r requirements.txt": SETTING_UP,
    ".venv/bin/pip install -r requirements-dev.txt": SETTING_UP,
    ".venv/bin/python -m pytest": SETTING_UP,
    "pip install -r requirements-tune.txt": PACKAGES,
    "pip install wandb": PACKAGES,
    "wandb login": "asks for a key; that there is such a command is tested below",
    "wandb sync runs/RUN/wandb/offline-run-*": "needs the network; that there is such a command, and the folder, is tested below",
    "tensorboard --logdir runs": "serves until it is stopped; its arguments are read below, and test_monitors.py reads what it shows",
    "torchrun --standalone --nproc-per-node 4 train.py contest.ini": "test_torchrun.py runs it with two processes",
    "python train.py compute.engine=ray compute.address=auto": "needs a cluster that runs; test_ray_folds.py has one",
    "ray start --head --port 6379 --include-dashboard false": RAY,
    "ray start --address FIRST:6379": RAY,
    "ray stop": RAY,
    "cd /shared/foldini": SLURM,
    "source .venv/bin/activate": SLURM,
    "first=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)": SLURM,
    "srun ray symmetric-run --address $first:6379 --min-nodes $SLURM_JOB_NUM_NODES --num-cpus 32 --num-gpus 4 --"
    " python train.py contest.ini compute.engine=ray compute.address=auto compute.gpus_per_fold=1 settings.run_name=night": SLURM,
}
# INI files that pages speak of as the reader's own.
OWN_FILES = ("cassava.ini", "contest.ini", "mine.ini", "night.ini", "search.ini")
# The last word on what a command names, so that it is done in seconds; the model that it names is looked up, and trained by a slow test.
SMALLER = {
    "hyper_params.epochs": "2",
    "model.name": TINY,
    "tuning.trials": "2",
}
SEARCH = ("model.name=test_resnet", "tuning.trials=2", "tuning.confirm=1")  # trials are processes that do not know the tests' own model
LOOKS = ("data", "model", "lr", "report")  # what leaves nothing to go on from
# The Korean page has the commands of the English one (test_korean.py), and those of recipes are test_recipes.py's.
TOLD = [page for page in PAGES if page != READMES[1]]


def name(given: object) -> str:
    return given.name if isinstance(given, Path) else given.text if isinstance(given, Command) else str(given)


def own_command(command: Command) -> Command | None:
    """The command of Foldini's that it is, or that stands in it."""
    places = [place for place, word in enumerate(command.words) if re.fullmatch(r"(train|inference|tune|look)\.py", word)]
    if not places or command.words[0].startswith("torchrun"):
        return command if command.script else None
    return Command(command.page, ("python", *command.words[places[0] :]))


def to_be_read() -> list[Command]:
    """Each command of Foldini's once, of blocks, of running text and of recipes."""
    told = [*every((*PAGES, *RECIPES)), *(command for page in PAGES for command in mentioned_in(page))]
    return list({found.text: found for command in told if (found := own_command(command)) is not None}.values())


@pytest.fixture
def files() -> None:
    """In the current folder: the config as it comes, the recipes, the reader's own INIs, and what runs and searches leave of theirs."""
    (Path.cwd() / "configs").symlink_to(ROOT / "configs")
    shutil.copy(ROOT / "config.ini", "config.ini")
    for own in OWN_FILES:
        write_config(Path(own), "[split]\nfolds = 3\n")
    for run, left in (("RUN", "config"), ("NAME", "best"), ("folds", "config"), ("refit", "config"), ("fashion-search", "best")):
        Path("runs", run).mkdir(parents=True)
        shutil.copy("config.ini", f"runs/{run}/{left}.ini")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", to_be_read(), ids=name)
def test_a_command_is_read_as_it_stands(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.script is not None
    read = read_command(command.script, command.arguments)
    assert read is not None or {"--help", "--print-config"}.intersection(command.arguments)
    if read is not None and any(word.startswith("model.name=") for word in command.arguments):
        check_name(read.config.model)


def test_every_command_is_one_of_foldini_or_excused() -> None:
    unknown = {command.text for command in every((*PAGES, *RECIPES)) if command.script is None} - set(EXCUSED)
    assert unknown == set(), "neither run here nor excused"
    gone = set(EXCUSED) - {command.text for command in every((*PAGES, *RECIPES))}
    assert gone == set(), "excused, and on no page any more"


@pytest.mark.parametrize("recipe", RECIPES, ids=name)
def test_the_commands_of_a_recipe_are_those_that_its_test_runs(recipe: Path) -> None:
    """test_recipes.py trains each and predicts with it, or searches and trains what was found; here only what the head says of it."""
    told = [command.text for command in commands_of(recipe)]
    config = read_config([recipe])[0]
    if config.search_space:
        searched = f"python tune.py configs/fashion_mnist_resnet18.ini configs/{recipe.name}"
        assert told == ["pip install -r requirements-tune.txt", searched, f"python train.py runs/{config.settings.run_name}/best.ini"]
    else:
        assert told == [f"python {script}.py configs/{recipe.name}" for script in ("train", "inference")]


def ini_blocks() -> list[tuple[str, str]]:
    return [(f"{page.name}, block {number}", text) for page in PAGES for number, text in enumerate(blocks(page, "ini"), 1)]


@pytest.mark.parametrize("text", [pytest.param(text, id=place) for place, text in ini_blocks()])
def test_a_block_of_ini_is_read(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read_config([write_config(Path("block.ini"), text)])


class Story:
    """A folder with a small contest, in which the commands of a page follow each other."""

    def __init__(self, folder: Path, page: Path) -> None:
        self.page = page
        make_contest(folder / "data/mine")
        settings = (*FAST, "settings.data_path=data/mine", "data.image_suffix=.png", "inference.answers=data/mine/answers.csv")
        self.small = as_ini(settings)
        for own in ("config.ini", *OWN_FILES):
            write_config(folder / own, self.small if own != "night.ini" else "[hyper_params]\nlearning_rate = 2e-3\n")
        for text in blocks(page, "ini"):
            if (found := re.match(r"; (\w+\.ini)\n", text)) is not None:
                write_config(folder / found[1], text)

    def run(self, command: Command, *more: str) -> None:
        assert command.script is not None
        arguments = [self._named(word, command) for word in command.arguments]
        for option, value in SMALLER.items():
            arguments += [f"{option}={value}"] * any(word.startswith(f"{option}=") for word in arguments)
        with pytest.MonkeyPatch.context() as patch:
            for setting in command.settings:
                patch.setenv(*setting.split("=", 1))
            status = importlib.import_module(command.script).main([*arguments, *more])
        assert status == 0, f"{self.page.name}: {command.text} ended with {status}"

    def _named(self, word: str, command: Command) -> str:
        """With the runs and searches that there are: the latest, but for those that the command names besides."""
        if re.search(r"\bNAME\b", word):
            return re.sub(r"\bNAME\b", finished("search.ini")[0], word)
        if not re.search(r"\bRUN[12]?\b", word):
            return word
        runs = [run for run in finished("result.json") if not re.search(rf"\b{re.escape(run)}\b", command.text)]
        if not runs:  # the page speaks of a run that the reader has
            self.run(Command(self.page, ("python", "train.py")))
            runs = finished("result.json")
        return re.sub(r"\bRUN\b", runs[0], word.replace("RUN1,RUN2", ",".join(runs[:2])))


def finished(left: str) -> list[str]:
    """Names of the folders of runs/ that hold the file `left`, the latest first."""
    found = sorted(Path("runs").glob(f"*/{left}"), key=os.path.getmtime, reverse=True)
    return [path.parent.name for path in found]


def as_ini(settings: Sequence[str]) -> str:
    """section.option=value as the text of a file."""
    sections: dict[str, list[str]] = {}
    for setting in settings:
        (section, option), value = setting.partition("=")[0].split("."), setting.partition("=")[2]
        sections.setdefault(section, []).append(f"{option} = {value}")
    return "\n".join(f"[{section}]\n" + "\n".join(lines) for section, lines in sections.items()) + "\n"


def takes_long(command: Command) -> bool:
    """Searches are processes of Ray's, and so is what follows from them; Weights & Biases starts a process of its own."""
    return command.script == "tune" or any("NAME" in word or word == "logging.wandb=true" for word in command.arguments)


def run_here(page: Path) -> list[Command]:
    """Those of Foldini that are neither a recipe's nor excused. A look that an earlier page has too leaves nothing to go on from."""
    earlier = {command.text for command in every(TOLD[: TOLD.index(page)]) if command.script == "look" and command.arguments[0] in LOOKS}
    return [
        command
        for command in commands_of(page)
        if command.script and command.recipe is None and command.text not in EXCUSED and command.text not in earlier
    ]


@pytest.mark.parametrize("page", [page for page in TOLD if not all(map(takes_long, run_here(page)))], ids=name)
def test_a_page_can_be_followed(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(Path.cwd(), page)
    for command in run_here(page):
        if not takes_long(command):
            story.run(command)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in TOLD if any(map(takes_long, run_here(page)))], ids=name)
def test_what_takes_long_on_a_page_can_be_followed(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    story = Story(Path.cwd(), page)
    for command in filter(takes_long, run_here(page)):
        story.run(command, *(SEARCH if command.script == "tune" else ()))
    if any("wandb sync" in command.text for command in commands_of(page)):
        assert list(Path.cwd().glob("runs/*/wandb/offline-run-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "word",
    sorted({word for page in TOLD for command in run_here(page) for word in command.arguments if word.startswith("model.name=")}),
)
def test_a_model_that_a_command_names_trains(word: str) -> None:
    story = Story(Path.cwd(), READMES[0])
    story.run(Command(READMES[0], ("python", "train.py")), word, "hyper_params.epochs=1")


def test_the_monitors_know_the_commands_that_the_pages_give_them() -> None:
    import tensorboard.program  # seconds, each
    from wandb.cli.cli import cli as wandb_commands

    (logdir,) = {command.words[1:] for command in every(PAGES) if command.words[0] == "tensorboard"}
    program = tensorboard.program.TensorBoard()
    program.configure(argv=("tensorboard", *logdir))
    assert program.flags.logdir == "runs"
    asked = {command.words[1] for command in every(PAGES) if command.words[0] == "wandb"}
    assert asked == {"login", "sync"} and asked <= set(wandb_commands.commands)


@pytest.mark.parametrize("page", [READMES[0], ROOT / "docs/first-contest.md"], ids=name)
def test_the_five_edits_lead_from_a_contest_to_a_submission(page: Path) -> None:
    """The block as it stands, behind the config that it changes; only what makes it small comes from here."""
    (block,) = (text for text in blocks(page, "ini") if "train_images = train_images" in text)
    (behind_it,) = (text for text in blocks(READMES[0], "sh") if "--check" in text)
    write_config(Path("edits.ini"), block)
    shutil.copy(ROOT / "config.ini", "config.ini")
    edited = read_config([Path("edits.ini")])[0]
    check_name(edited.model)
    contest = make_contest(Path(edited.settings.data_path), suffix=".jpg")
    for part in ("train", "test"):
        (contest / part).rename(contest / f"{part}_images")
    small = [each for each in FAST if not each.startswith("data.source")] + ["data.image_suffix=.jpg", "settings.run_name=run"]
    for command in commands_in(page, behind_it):
        arguments = ["config.ini", "edits.ini", *command.arguments, *small]
        assert importlib.import_module(str(command.script)).main(arguments) == 0
    assert len(Path("submissions/run.csv").read_text(encoding="utf-8").splitlines()) == 13

"""Bugs put into the code one at a time: how many do the tests notice? The rows are those of the table of silently wrong results.

python -m tests.faults.mutants [processes=2] [only=WORD]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

PROJECT = Path(__file__).parents[2]
NEEDED = ("modules", "tests", "configs", "pyproject.toml", "train.py", "inference.py", "look.py", "tune.py", "config.ini")
SECONDS = 900  # that the tests of one bug may take


@dataclass(frozen=True)
class Mutant:
    """row: of the table of silently wrong results, or blank. old, new: text of `file`, which stands there once.

    tests: that should notice.
    """

    row: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutant(row: str, what: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(row, what, f"modules/{file}.py", old, new, tuple(f"tests/{test}.py" for test in tests))


MUTANTS = (
    mutant("1", "all images of an epoch have one draw", "data/loaders",
        "*request.seed, draw.epoch, draw.position)", "*request.seed, draw.epoch, 0)", "data/test_loaders"),
    mutant("2", "every epoch has the same draws", "data/loaders",
        "*request.seed, draw.epoch, draw.position)", "*request.seed, 0, draw.position)", "data/test_loaders"),
    mutant("2", "every epoch has the same order", "data/draws",
        "derive_seed(*self.shuffle_seed, self.epoch, \"order\")", "derive_seed(*self.shuffle_seed, 0, \"order\")", "data/test_loaders"),
    mutant("2b", "transforms draw from one stream", "data/transforms",
        "pipeline.set_random_state(*draw_generators(*draw))",
        "pipeline.set_random_seed(int(draw_generators(*draw)[0].integers(2**31)))", "data/test_transforms"),
    mutant("3", "frozen BatchNorm moves", "models/freezing",
        "    for part in still:\n        part.eval()", "    for part in still:\n        part.train()",
        "models/test_freezing", "training/test_fold"),
    mutant("4", "the last epoch's weights are kept as the best", "training/fold",
        "if progress.best_epoch == latest.epoch:", "if True:", "training/test_fold"),
    mutant("4", "training goes on from the best epoch", "training/fold",
        "        sink.end_epoch(record, plan.epochs)\n    return progress, records",
        "        sink.end_epoch(record, plan.epochs)\n"
        "        restore_weights(network.module, load_checkpoint(directory.best)[\"model\"], \"\")\n    return progress, records",
        "training/test_fold"),
    mutant("5", "the head's printout changes, not its weights", "models/heads",
        "    _set_layer(module, name, new)\n\n\nAPPENDED", "    old.out_features = outputs\n\n\nAPPENDED",
        "models/test_build", "models/test_heads"),
    mutant("6", "classes that are numbers are sorted as text", "data/samples",
        "return tuple(sorted(distinct, key=lambda label: (int(label), label)))", "return tuple(sorted(distinct))", "data/test_samples"),
    mutant("6", "another class order in a checkpoint is believed", "runs/checkpoint",
        'if checkpoint.get("task") != task:', "if False:", "scripts/test_main_job"),
    mutant("6", "another class order in a table of predictions is believed", "prediction/predictions",
        "!= task.columns:", "== ():", "prediction/test_predictions"),
    mutant("7", "rows of the submission are in the predictions' order", "prediction/submission",
        "rows = np.array([row_of[name] for name in template.images], dtype=np.int64)",
        "rows = np.arange(len(template.images), dtype=np.int64) % len(row_of)", "prediction/test_submission"),
    mutant("7", "predictions are in the order of the batches", "prediction/predict",
        "places = [position[row] for row in batch.rows.tolist()]",
        "places = list(range(int(predicted.sum()), int(predicted.sum()) + len(batch.rows)))",
        "prediction/test_predict", "prediction/test_order"),
    mutant("8", "an unreadable image becomes a black one", "data/images",
        "        return read_image(self.path(row), channels)",
        "        try:\n            return read_image(self.path(row), channels)\n        except DataError:\n"
        "            return np.zeros((8, 8, channels), dtype=np.uint8)", "data/test_images", "scripts/test_main_job"),
    mutant("8", "an unreadable image becomes its neighbour", "data/images",
        "        return read_image(self.path(row), channels)",
        "        try:\n            return read_image(self.path(row), channels)\n        except DataError:\n"
        "            return read_image(self.path(row - 1), channels)", "data/test_images", "scripts/test_main_job"),
    mutant("9", "height and width are swapped", "data/pixels",
        "cv2.resize(pixels, (size.width, size.height)", "cv2.resize(pixels, (size.height, size.width)", "data/test_resize"),
    mutant("9", "inference normalises by a half, whatever the checkpoint says", "data/preprocessing",
        'values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])',
        'values["mean"], values["std"] = (0.5,) * len(values["mean"]), (0.5,) * len(values["std"])', "data/test_preprocessing"),
    mutant("10", "validation sees the training transforms", "training/parts",
        '_valid_sampler(plan, fold), "valid", (plan.config.settings.seed, "valid"))',
        '_valid_sampler(plan, fold), "train", (plan.config.settings.seed, "valid"))', "scripts/test_main_job"),
    mutant("10", "the loss is a mean of batches, not of images", "prediction/predict",
        "targets) * len(first_time))", "targets) * (len(rows) / max(1, len(rows) // 8)))", "prediction/test_predict"),
    mutant("10", "validation drops out", "prediction/predict",
        "            each.eval()", "            each.train()", "prediction/test_predict", "training/test_fold"),
    mutant("11", "groups are in several folds", "data/splits",
        '        return "stratified_group"', '        return "stratified"', "data/test_splits"),
    mutant("11", "groups cross folds and nobody is told", "data/splits",
        "set(keys[fold.train_rows].tolist()) & set(keys[fold.valid_rows].tolist())", "set()", "data/test_splits", "scripts/test_checks"),
    mutant("12", "rows that come twice count twice", "prediction/predict",
        "        if not predicted[place]:\n            predicted[place] = True\n            first_time.append(index)",
        "        predicted[place] = True\n        first_time.append(index)", "prediction/test_predict"),
    mutant("13", "the schedule is stepped twice", "training/epoch",
        "learner.schedule(first_step + len(losses))", "learner.schedule(2 * (first_step + len(losses)))", "training/test_epoch"),
    mutant("13", "the schedule begins anew on resume", "training/fold",
        '    return int(state["step"])', "    return 0", "training/test_fold"),
    mutant("13", "patience and the best score are lost on resume", "training/fold",
        'progress = Progress(**state["progress"]) if state else Progress()', "progress = Progress()", "training/test_fold"),
    mutant("13", "the moving average is lost on resume", "training/fold",
        '        learner.ema.module.load_state_dict(state["ema"])', "        pass", "training/test_fold"),
    mutant("13", "the optimiser is lost on resume", "training/fold",
        '    learner.optimizer.load_state_dict(state["optimizer"])', "    pass", "training/test_fold"),
    mutant("14", "NA is missing", "prediction/predictions",
        "dtype=str, keep_default_na=False, na_filter=False)", "dtype=str)", "prediction/test_predictions"),
    mutant("14", "007 is 7", "data/tables",
        "index=lines, dtype=str)",
        "index=lines, dtype=str).map(lambda cell: str(int(cell)) if cell.isdecimal() else cell)",
        "data/test_tables", "data/test_csv_source"),
    mutant("15", "folds of groups are not stratified", "data/splits",
        "return _by(StratifiedGroupKFold, samples, split, seed)", "return _by(GroupKFold, samples, split, seed)", "data/test_splits"),
    mutant("16", "logits are summed", "prediction/predict",
        "totals[index] += objective.activation(logits)", "totals[index] += logits", "prediction/test_predict"),
    mutant("17", "a loss that is no number is averaged away", "training/epoch",
        "        if not math.isfinite(value):", "        if False:", "training/test_epoch"),
    mutant("17", "predictions that are no numbers are saved", "prediction/predictions",
        "    if not np.isfinite(values).all():", "    if False:", "prediction/test_predictions"),
    mutant("18", "seed 0 is none", "data/draws",
        "        if self.shuffle_seed is not None:\n            rng",
        "        if self.shuffle_seed and self.shuffle_seed[0]:\n            rng",
        "data/test_loaders"),
    mutant("19", "pixels of another resize are taken from the cache", "data/pixel_cache",
        "way = (self.shape, self.preprocessing.resize, LAYOUT)", "way = (self.shape, LAYOUT)", "data/test_pixel_cache"),
    mutant("19", "an image that changed has its old pixels", "data/images",
        'told.update(f"\\0{found.st_ino}\\0{found.st_size}\\0{found.st_mtime_ns}\\0{found.st_ctime_ns}\\n".encode())',
        "told.update(bytes(found.st_size * 0))", "data/test_pixel_cache"),
    mutant("19", "features of other weights are taken from the cache", "prediction/features",
        "repr((trunk.digest(), images, how, versions))", "repr((images, how, versions))", "prediction/test_features"),
    mutant("20", "a misspelt option is left out", "config/reader",
        '    mistakes.append(f"{where}: unknown option{advice}")', "    pass", "config/test_reader"),
    mutant("", "a range that is none is taken", "config/spaces",
        "        raise ValueError(f\"a low end below the high one in {kind}(...)\")", "        pass", "config/test_search_space"),
    mutant("21", "all folds have one folder", "runs/directory",
        'return FoldDirectory(self.path / f"fold{number}")', 'return FoldDirectory(self.path / "fold0")', "runs/test_directory",
        "scripts/test_main_job"),
    mutant("21", "two processes train one run", "runs/directory",
        "            lock.acquire(timeout=0)", "            pass", "runs/test_directory"),
    mutant("22", "EXIF is left out", "data/pixels",
        "return _convert(upright(image), channels)", "return _convert(image, channels)", "data/test_pixels"),
    mutant("22", "alpha becomes black", "data/pixels",
        'Image.new("RGBA", image.size, (255, 255, 255, 255))', 'Image.new("RGBA", image.size, (0, 0, 0, 255))', "data/test_pixels"),
    mutant("22", "16 bits are clipped to white", "data/pixels",
        "scaled = (numbers + 128) // 257", "scaled = np.minimum(numbers, 255)", "data/test_pixels"),
    mutant("22", "rows and columns of turned TIFFs are taken for each other", "data/pixels",
        '        image.filename = ""  #', "        pass  #", "data/test_pixels"),
    mutant("", "patience waits an epoch too long", "runs/records",
        "return patience > 0 and self.waited >= patience", "return patience > 0 and self.waited > patience",
        "training/test_fold", "runs/test_records"),
    mutant("", "what is better is worse", "runs/records",
        "(1 if greater_is_better else -1) > min_delta", "1 > min_delta", "runs/test_records", "training/test_fold"),
    mutant("", "the moving average is kept and the weights are validated", "training/epoch",
        "return self.model if self.averaged is None else self.averaged", "return self.model", "training/test_fold", "training/test_epoch"),
    mutant("", "accumulated batches weigh as much however small", "training/epoch",
        "* (len(batch.rows) / images)", "* (1 / len(group))", "training/test_epoch"),
    mutant("", "views are summed", "prediction/predict",
        "(total / len(views)).cpu()", "(total / 1).cpu()", "prediction/test_predict", "prediction/test_tta"),
    mutant("", "weights of members are not looked at", "prediction/ensemble",
        "return form(exact[:, :, part], shares / shares.sum())", "return form(exact[:, :, part], np.ones(len(shares)) / len(shares))",
        "prediction/test_ensemble"),
    mutant("", "weight decay shrinks norms and biases too", "training/optimizer",
        "weight_decay=hyper.weight_decay, no_weight_decay_list=no_weight_decay()):",
        "weight_decay=hyper.weight_decay, no_weight_decay_list=[]) if 0 else "
        "[dict(params=[each for each in module.parameters() if each.requires_grad], weight_decay=hyper.weight_decay)]:",
        "training/test_optimizer"),
    mutant("", "a file is written in place", "compute/storage",
        "        os.replace(temporary, path)", "        path.write_bytes(temporary.read_bytes()); temporary.unlink()",
        "compute/test_storage"),
    mutant("", "damage is believed", "compute/storage",
        "return file.read() == SEAL + digest.digest()", "return True", "compute/test_storage", "runs/test_checkpoint"),
    mutant("", "a checkpoint may hold code", "runs/checkpoint",
        "weights_only=True", "weights_only=False", "runs/test_checkpoint"),
    mutant("", "a damaged row of a cache is believed", "compute/row_store",
        '        if zlib.crc32(numbers.data) != self.index["sum"][row]:', "        if False:", "compute/test_row_store"),
    mutant("", "the order of the table's rows changes the folds", "data/splits",
        "    own = own[_in_order(samples.ids[own])]\n", "", "data/test_splits"),
    mutant("", "mixed images have their own labels", "data/mixing",
        "return mixed.contiguous(memory_format=_layout(images)), shares", "return mixed, _as_shares(targets, sizes)", "data/test_mixing"),
    mutant("", "each phase counts its schedule from the run's first step", "training/fold",
        "(learner, feed), step, progress = begin(phase), 0, progress.start_phase()",
        "(learner, feed), progress = begin(phase), progress.start_phase()", "training/test_fold", "training/test_phases"),
)  # fmt: skip


def misplaced() -> list[str]:
    """Bugs whose text does not stand in its file once, so that they would not be put in."""
    return [each.what for each in MUTANTS if (PROJECT / each.file).read_text(encoding="utf-8").count(each.old) != 1]


def copy_project(folder: Path) -> None:
    for name in NEEDED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def is_caught(each: Mutant, folder: Path) -> bool:
    """Whether the tests fail with the bug put into the copy in `folder`, which is as it was afterwards."""
    path = folder / each.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace(each.old, each.new), encoding="utf-8")
    try:
        return bool(failures(each.tests, folder))
    finally:
        path.write_text(sound, encoding="utf-8")


def failures(tests: Sequence[str], folder: Path) -> str:
    """What pytest says at last of the tests in that copy; blank where all pass. Raises AssertionError where there was nothing to run."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "--import-mode=importlib",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *tests], cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode in (0, 1, 2), done.stdout + done.stderr  # 2: a file of tests cannot be imported, as where a table is checked
    assert "SyntaxError" not in done.stdout, f"that is no bug, but no program: {done.stdout[-1000:]}"
    return done.stdout[-1000:] if done.returncode else ""


def try_mutants(chosen: Sequence[Mutant], processes: int) -> dict[Mutant, bool]:
    """Whether each was caught. Raises AssertionError where a test fails without any bug."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as root:
        folders: Queue[Path] = Queue()
        for number in range(processes):
            folder = Path(root) / f"copy{number}"
            folder.mkdir()
            copy_project(folder)
            folders.put(folder)

        def attempt(each: Mutant) -> bool:
            folder = folders.get()
            try:
                return is_caught(each, folder)
            finally:
                folders.put(folder)

        tests = sorted({test for each in chosen for test in each.tests})
        assert not (told := failures(tests, folders.queue[0])), f"the tests fail without any bug: {told}"
        with ThreadPoolExecutor(processes) as pool:
            return dict(zip(chosen, pool.map(attempt, chosen), strict=True))


def main(arguments: list[str]) -> int:
    given = {"processes": "2", "only": "", **dict(each.split("=", 1) for each in arguments)}
    wrong = misplaced()
    if wrong:
        print("not to be put in:", *wrong, sep="\n")
        return 2
    found = try_mutants([each for each in MUTANTS if given["only"] in each.what], int(given["processes"]))
    of_table = [caught for each, caught in found.items() if each.row]
    print(f"{len(found)} bugs, {sum(found.values())} caught; of the table {sum(of_table)} of {len(of_table)}")
    missed = [f"missed: {each.row} {each.what} ({each.file})" for each, caught in found.items() if not caught]
    print(*missed, sep="\n")
    return int(len(missed) > 0.05 * len(found) or not all(of_table))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

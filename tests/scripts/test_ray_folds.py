"""[compute] engine = ray: folds as tasks, several at a time, with the digests that one after another has."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from modules.config.errors import DataError
from modules.config.schema import Compute
from modules.jobs.engine import with_threads_of_a_fold
from modules.runs.checkpoint import load_checkpoint
from tests.digests import digest_tensors
from tests.making import fast, make_contest, write_config
from tests.scripts.running import digests, refusal, run_inference, run_train

PROJECT = Path(__file__).parents[2]
MODEL = ("model.name=test_resnet", "split.folds=4", "augmentation.preset=light")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run `serial` of four folds."""
    root = tmp_path_factory.mktemp("ray")
    make_contest(root / "contest")
    write_config(root / "config.ini", "[settings]\n")
    assert run_train(*asked(root, "settings.run_name=serial"), "--quiet") == 0
    return root


def asked(root: Path, *more: str) -> list[str]:
    places = (f"settings.log_path={root / 'runs'}", f"settings.cache_path={root / 'cache'}")
    return [str(root / "config.ini"), *fast(root / "contest", *places, *MODEL, *more)]


@pytest.mark.slow
def test_folds_on_ray_learn_what_they_learn_one_after_another(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_train(*asked(root, "compute.engine=ray", "compute.parallel_folds=2", "settings.run_name=ray")) == 0
    told = capsys.readouterr().out
    assert digests(root / "runs/ray") == digests(root / "runs/serial")
    for fold in range(4):
        assert f"fold {fold}  epoch   2/2" in told and f"fold {fold}  accuracy" in told
    environment = json.loads((root / "runs/ray/environment.json").read_text())
    assert environment["threads"] == 1
    submission = ("inference.run=ray", f"inference.submission_path={root / 'submissions'}", "inference.output=out.csv")
    assert run_inference(*asked(root, *submission), "--quiet") == 0


@pytest.mark.slow
def test_what_a_fold_finds_wrong_is_a_line_and_the_others_are_trained(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run of four folds, gone on with, the second is damaged, the last was not trained, and the first can go back an epoch."""
    run = root / "runs/wrong"
    shutil.copytree(root / "runs/serial", run)
    for gone in ("result.json", "fold1/best.pt", "fold1/predictions.csv"):
        (run / gone).unlink()
    shutil.rmtree(run / "fold3")
    (run / "fold0/last.pt").write_bytes(b"damaged")
    capsys.readouterr()
    assert run_train(*asked(root, "compute.engine=ray"), "--resume", "wrong", "--quiet") == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "fold" in line]
    assert len(told) == 2, "what a worker warns of is neither lost nor told twice"
    assert told[0].startswith(f"warning: {run / 'fold0/last.pt'}") and told[0].endswith("; going back to the checkpoint before it")
    assert told[1] == f"fold 1: {run / 'fold1/best.pt'}: missing; remove {run / 'fold1'} to train this fold again"
    for place in ("fold0/last.pt", "fold3/best.pt", "fold3/last.pt"):
        found, expected = (digest_tensors(load_checkpoint(each / place)["model"]) for each in (run, root / "runs/serial"))
        assert found == expected


def test_what_several_folds_find_wrong_is_told_once_with_their_numbers() -> None:
    pytest.importorskip("ray")
    from modules.jobs.ray_folds import _named

    mistakes = {
        2: DataError("a.png: cannot be read"),
        0: DataError("a.png: cannot be read", "b.png: cannot be read"),
        1: DataError("fold 1, epoch 3: no"),
    }
    assert _named(mistakes) == ["folds 0, 2: a.png: cannot be read", "fold 0: b.png: cannot be read", "fold 1, epoch 3: no"]


def test_threads_of_a_fold_are_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert with_threads_of_a_fold(Compute(engine="ray")).threads == 1
    assert with_threads_of_a_fold(Compute(engine="ray", parallel_folds=3)).threads == 2
    assert with_threads_of_a_fold(Compute(engine="ray", cpus_per_fold=4)).threads == 4
    assert with_threads_of_a_fold(Compute(engine="ray", threads=5, parallel_folds=2)).threads == 5


def test_without_ray_or_without_a_cluster_a_line_says_so(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("modules.jobs.engine.find_spec", lambda name: None)
        (line,) = refusal(run_train, [*asked(root, "compute.engine=ray"), "--quiet"], capsys)
        assert line == "engine = ray needs ray: pip install -r requirements-tune.txt"


def test_gpus_are_asked_of_ray_for_each_fold(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    asked_for: list[dict[str, object]] = []

    class Remote:
        def options(self, **options: object) -> None:
            asked_for.append(options)
            raise KeyboardInterrupt

    monkeypatch.setattr(ray, "remote", lambda function: Remote())
    monkeypatch.setattr("modules.jobs.ray_folds.ray_running", lambda *arguments: contextlib.nullcontext())
    monkeypatch.setattr("modules.jobs.ray_folds.Queue", lambda **options: None)
    half = ("compute.engine=ray", "compute.gpus_per_fold=0.5", "compute.cpus_per_fold=3", "settings.run_name=asked")
    assert run_train(*asked(root, *half), "--quiet") == 130
    assert asked_for == [{"num_cpus": 3, "num_gpus": 0.5, "max_retries": 3}]


def test_no_cluster_at_the_address_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ("compute.engine=ray", "compute.address=127.0.0.1:1", "settings.run_name=nowhere")
    (line,) = refusal(run_train, [*asked(root, *nowhere), "--quiet"], capsys)
    assert line == "override compute.address: nothing answers at 127.0.0.1:1, where a Ray cluster should"


@pytest.mark.slow
def test_ray_leaves_its_folder_only_where_something_failed_and_sigterm_as_it_was() -> None:
    ray = pytest.importorskip("ray")
    from modules.jobs.ray_start import ray_running

    hears = signal.getsignal(signal.SIGTERM)
    with ray_running(None, 1):
        folder = Path(ray._private.worker._global_node.get_session_dir_path())
        assert folder.is_dir() and signal.getsignal(signal.SIGTERM) is hears
    assert not folder.exists()


@pytest.mark.slow
def test_a_fold_whose_worker_dies_goes_on_to_the_same_result(root: Path, tmp_path: Path) -> None:
    more = ("hyper_params.epochs=12", "split.train_folds=0, 1", "hyper_params.patience=0")
    assert run_train(*asked(root, *more, "settings.run_name=whole"), "--quiet") == 0
    words = asked(root, *more, "settings.run_name=killed", "compute.engine=ray", "compute.parallel_folds=2")
    with open(tmp_path / "out.txt", "wb") as out:
        driver = subprocess.Popen([sys.executable, str(PROJECT / "train.py"), *words], stdout=out, stderr=out, cwd=tmp_path)
    deadline = time.monotonic() + 200
    histories = [root / f"runs/killed/fold{fold}/history.csv" for fold in (0, 1)]
    while not all(file.is_file() and len(file.read_text().splitlines()) > 3 for file in histories) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [each for each in psutil.Process(driver.pid).children(recursive=True) if "_train_fold" in " ".join(each.cmdline())]
    assert workers, (tmp_path / "out.txt").read_text()[-2000:]
    for worker in workers:
        worker.kill()
    assert driver.wait(timeout=300) == 0, (tmp_path / "out.txt").read_text()[-2000:]
    assert digests(root / "runs/killed") == digests(root / "runs/whole")


@pytest.mark.slow
def test_a_cluster_of_two_nodes_learns_what_one_process_does(root: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        on_two = ("compute.engine=ray", f"compute.address={cluster.address}", "settings.run_name=cluster", "compute.threads=1")
        assert run_train(*asked(root, *on_two), "--quiet") == 0
    finally:
        cluster.shutdown()
    assert digests(root / "runs/cluster") == digests(root / "runs/serial")


def test_a_machine_that_does_not_share_the_disk_is_named(tmp_path: Path) -> None:
    ray_folds = pytest.importorskip("modules.jobs.ray_folds")
    told = rf"^{tmp_path}/runs/night is not on .+: all machines of a cluster must share the disk \(docs/scaling\.md\)$"
    with pytest.raises(DataError, match=told):
        ray_folds._train_fold(0, str(tmp_path / "runs/night"), str(tmp_path), 1, None)

"""The config answers with the standard library alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = ("torch", "torchvision", "timm", "albumentations", "sklearn", "pandas", "numpy", "ray", "cv2", "PIL", "scipy")
SCRIPT = """
import contextlib, importlib, io, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import train
err = io.StringIO()
with contextlib.redirect_stderr(err):
    status = {"broken.ini": train.main(["broken.ini", "model.nam=x"])}
import inference
import modules.config
for module in pkgutil.iter_modules(modules.config.__path__):
    importlib.import_module(f"modules.config.{module.name}")
with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
    for arguments in (["nowhere.ini"], ["--zzz"], ["pipeline.ini"], ["--help"], ["good.ini", "--print-config"], ["good.ini", "x"], []):
        status[" ".join(arguments)] = train.main(arguments)
    status["inference"] = inference.main(["--help"])
print(json.dumps([status, err.getvalue().splitlines(), sorted(set(sys.modules))]))
"""


def test_mistakes_help_and_the_printed_config_answer_without_a_heavy_import() -> None:
    Path("broken.ini").write_text("[settings]\nseeed = 1\ngpu = x\n[hyper_params]\nepochs = 0\n", encoding="utf-8")
    Path("pipeline.ini").write_text("[augmentation]\ntrain = __import__('os').abort()\n", encoding="utf-8")
    Path("good.ini").write_text("[settings]\nseed = 1\n", encoding="utf-8")
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(root)], capture_output=True, text=True, timeout=60, check=True)
    status, err, loaded = json.loads(done.stdout)
    assert status == {
        "broken.ini": 2,
        "nowhere.ini": 2,
        "--zzz": 2,
        "pipeline.ini": 2,
        "--help": 0,
        "good.ini --print-config": 0,
        "good.ini x": 2,
        "": 2,
        "inference": 0,
    }
    assert len(err) == 9 and err[0] == "broken.ini:2 [settings] seeed: unknown option (did you mean seed?)", err
    assert not [name for name in HEAVY if name in loaded]
    assert "modules.config.printer" in loaded and "modules.config.pipeline" in loaded

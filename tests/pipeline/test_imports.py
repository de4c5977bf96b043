"""A stage loads what it needs and no more: what it loads takes most of the time of a small one."""

import json
import subprocess
import sys

import pytest

# What takes long, of all that is installed. MLflow has a process of its own.
HEAVY = {
    "IPython",
    "dvc",
    "lpips",
    "matplotlib",
    "mlflow",
    "pandas",
    "scipy",
    "sympy",
    "torch",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "torchmetrics",
    "torchvision",
    "transformers",
}
WITHOUT_TORCH = {"extract": {"matplotlib"}, "report": set()}
WITH_TORCH = {
    "train-vqgan": [],
    "check-vqgan": [],
    "tokenize": [],
    "train-transformer": ["--level", "top"],
    "train-critic": [],
    "finetune": [],
    "check-transformers": [],
    "sample": [],
    "evaluate": [],
}

# Each stage runs in a fork, in a folder where nothing is, up to the input that it does not find.
SCRIPT = """
import json, os, sys
from pathlib import Path
from pipeline.__main__ import main

def loaded(words):
    into, out = os.pipe()
    if os.fork() == 0:
        sys.argv = ["cvg", *words]
        try:
            main()
        except BaseException as error:
            status = getattr(error, "code", repr(error))
        names = sorted(set(heavy) & sys.modules.keys())
        os.write(out, json.dumps([status, names]).encode())
        os._exit(0)
    os.close(out)
    with os.fdopen(into) as file:
        return json.load(file)

heavy, without, having = json.loads(sys.argv[1])
found = {words[0]: loaded(words) for words in without}
import torch
found |= {words[0]: loaded(words) for words in having}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory, root):
    folder = tmp_path_factory.mktemp("nothing")
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_bytes((root / name).read_bytes())
    words = [[[name] for name in WITHOUT_TORCH], [[k, *more] for k, more in WITH_TORCH.items()]]
    command = [sys.executable, "-c", SCRIPT, json.dumps([sorted(HEAVY), *words])]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("stage", [*WITHOUT_TORCH, *WITH_TORCH])
def test_a_stage_up_to_its_first_work_loads_nothing_heavy_but_torch(found, stage):
    status, loaded = found[stage]
    assert status == 2  # the error for people that an input is missing
    assert set(loaded) <= WITHOUT_TORCH.get(stage, {"torch"})

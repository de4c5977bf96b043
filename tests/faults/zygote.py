"""Forks stages from a process that has imported everything, and tells how each ended.

Reads one JSON object a line: `words`, `folder`, `log`. Answers with the number of the process at
once, and with its exit code when it ended.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import torch

from cvg.critic import train as _critic
from cvg.finetuning import train as _finetuning
from cvg.frames import extract as _extract
from cvg.metrics import suite as _suite
from cvg.report import page as _page
from cvg.sampling import check as _check
from cvg.sampling import sample as _sample
from cvg.transformer import train as _transformer
from cvg.vqgan import tokenize as _tokenize
from cvg.vqgan import train as _vqgan
from pipeline.__main__ import main

PRELOADED = (torch, _critic, _finetuning, _extract, _suite, _page, _check, _sample, _transformer)
PRELOADED += (_tokenize, _vqgan)


def run_stage(words, folder, log):
    os.chdir(folder)
    with Path(log).open("ab") as file, Path(os.devnull).open("rb") as nothing:
        for descriptor, target in ((0, nothing), (1, file), (2, file)):
            os.dup2(target.fileno(), descriptor)
    sys.argv = ["cvg", *words]
    status = 1
    try:
        main()
        status = 0
    except Exception:
        traceback.print_exc()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        run_stage(**order)
    print(pid, flush=True)
    _, how = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(how), flush=True)

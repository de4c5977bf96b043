"""Forks stages from a process that has imported everything, and tells how each ended.

Reads one JSON object a line: `words`, `folder`, `log` and the surroundings of `run_stage`. Answers
with the number of the process at once, and with its exit code when it ended.
"""

import json
import os
import re
import resource
import sys
import time
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


def limit_memory(megabytes):
    """Let this process take no more than this much besides what it has."""
    status = Path("/proc/self/status").read_text()
    has = int(re.search(r"^VmData:\s+(\d+) kB", status, re.MULTILINE)[1])
    limit = (has + 1024 * megabytes) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def turn_the_clock(seconds):
    """Let Python's clock of the day be off by this much."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + seconds * 1_000_000_000


def run_stage(words, folder, log, *, memory_mb=None, clock=0, zone=None):
    """Run a stage in this process, and leave it.

    Args:
        words: the command.
        folder: where.
        log: file to which its output is added.
        memory_mb: what it may take, besides what it has.
        clock: seconds that the clock is off.
        zone: its time zone.
    """
    os.chdir(folder)
    if zone:
        os.environ["TZ"] = zone
        time.tzset()
    if clock:
        turn_the_clock(clock)
    with Path(log).open("ab") as file, Path(os.devnull).open("rb") as nothing:
        for descriptor, target in ((0, nothing), (1, file), (2, file)):
            os.dup2(target.fileno(), descriptor)
    sys.argv = ["cvg", *words]
    if memory_mb:
        limit_memory(memory_mb)
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

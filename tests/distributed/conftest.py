"""Starts programs on several ranks, with a limit from outside."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 150  # seconds, after which all of a start is killed


class Started:
    """A program on some ranks, as `torchrun` starts it; on one rank without it."""

    def __init__(self, words, *, ranks, folder, restarts=0, **environment):
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        torchrun += [f"--max-restarts={restarts}"]
        self.process = subprocess.Popen(
            [sys.executable, *(torchrun if ranks > 1 else []), *map(str, words)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *, limit=LIMIT):
        """Wait for the end; give the status, and all that was printed."""
        try:
            out, _ = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return self.process.returncode, out

    def ranks(self):
        """Give the processes of the ranks, by rank."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found = {}
        for child in children:
            entries = Path(f"/proc/{child}/environ").read_text().split("\0")
            numbers = [entry.removeprefix("RANK=") for entry in entries if entry[:5] == "RANK="]
            if numbers:
                found[int(numbers[0])] = int(child)
        return found

    def kill(self):
        """End all of it, whatever state it is in."""
        for pid in (*self.ranks().values(), self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture(scope="session")
def start(root):
    """Start a program from the root of the project; what is still there at the end is killed."""
    started = []

    def start(*words, ranks=2, restarts=0, **environment):
        others = {"ranks": ranks, "restarts": restarts, "folder": root}
        started.append(Started(words, **others, **environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()

"""Stages at toy size that can be started in a moment, and the account of what was tried."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.chain import prepare
from pipeline.graph import Stage

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "extract",
    "train_vqgan",
    "check_vqgan",
    "tokenize",
    "train_transformer@top",
    "train_transformer@bottom",
    "train_critic",
    "finetune",
    "check_transformers",
    "sample",
    "evaluate",
    "report",
)
SMALL = (
    "extract.frame_size=32",
    "extract.fps=8",
    "vqgan.steps=12",
    "vqgan.validate_every=4",
    "vqgan.warmup_steps=2",
    "transformer.top.steps=12",
    "transformer.top.validate_every=4",
    "transformer.top.warmup_steps=2",
    "transformer.bottom.steps=12",
    "transformer.bottom.validate_every=4",
    "transformer.bottom.warmup_steps=2",
    "critic.steps=12",
    "critic.validate_every=4",
    "critic.warmup_steps=2",
    "finetune.enabled=true",
    "finetune.steps=8",
    "finetune.validate_every=4",
    "finetune.warmup_steps=2",
    "finetune.own_clips=4",
    "finetune.batch_size=2",
    "sample.clips=2",
    "check_vqgan.clips=2",
    "check_transformers.clips=2",
    "check_transformers.drift_videos=1",
    "check_transformers.drift_frames=24",
)
ENVIRONMENT = {
    "CVG_TRACKING": "off",
    "CVG_WEIGHTS": "none",  # what is tried is no figure, and their networks take most of the time
    "CVG_WORKERS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


def pytest_generate_tests(metafunc):
    if "each_stage" in metafunc.fixturenames:
        metafunc.parametrize("each_stage", STAGES)


class Zygote:
    """Starts stages in processes that have torch already."""

    def __init__(self, log: Path) -> None:
        self.log = log
        log.touch()
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
            text=True,
        )

    def start(self, words, folder, **surroundings):
        """Begin a stage, in surroundings of its own; give the number of its process."""
        order = {"words": list(words), "folder": str(folder), "log": str(self.log), **surroundings}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self):
        """Give the exit code of the stage that was started; negative of a signal's number."""
        return int(self._process.stdout.readline())

    def attempt(self, words, folder, **surroundings):
        """Give the exit code of a stage, and what it said."""
        before = self.log.stat().st_size
        self.start(words, folder, **surroundings)
        status = self.wait()
        return status, self.log.read_bytes()[before:].decode(errors="replace")

    def run(self, words, folder, **surroundings):
        status, said = self.attempt(words, folder, **surroundings)
        assert status == 0, said[-3000:]

    def close(self):
        self._process.communicate()


@pytest.fixture(scope="session")
def zygote(tmp_path_factory):
    zygote = Zygote(tmp_path_factory.mktemp("zygote") / "log.txt")
    yield zygote
    zygote.close()


@dataclass
class Whole:
    """A folder in which every stage has run without a fault."""

    folder: Path
    stages: dict[str, Stage]

    def copy(self, to: Path, *, without: str) -> Path:
        """Copy what a stage reads, but nothing that it writes."""
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns(".runs"))
        for path in self.stages[without].outs:
            shutil.rmtree(to / path) if (to / path).is_dir() else (to / path).unlink()
        return to

    def outputs(self, folder: Path, stage: str) -> dict[str, bytes]:
        """Give name and content of all files that a stage wrote."""
        found = {}
        for out in self.stages[stage].outs:
            path = folder / out
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    found[str(file.relative_to(folder))] = file.read_bytes()
        return found


@pytest.fixture(scope="session")
def whole(tmp_path_factory, zygote):
    folder = tmp_path_factory.mktemp("whole") / "run"
    stages = prepare(folder, ROOT / "params.yaml", preset="quick", overrides=SMALL)
    for stage in stages:
        zygote.run(stage.words, folder)
    return Whole(folder, {stage.name: stage for stage in stages})


@pytest.fixture
def left_over():
    """Name what no finished stage may leave: temporary files, states, locks."""

    def find(folder: Path) -> list[str]:
        partial = [path for path in folder.rglob("*") if ".partial-" in path.name]
        kept = [path for path in (folder / ".runs").rglob("*") if path.is_file()]
        return [str(path.relative_to(folder)) for path in (*partial, *kept)]

    return find


@dataclass
class Account:
    """What was tried, and what came of it."""

    rows: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, fault: str, *, tried: int, survived: int) -> None:
        self.rows.append((fault, tried, survived))


_account = Account()


@pytest.fixture(scope="session")
def account():
    return _account


def pytest_terminal_summary(terminalreporter):
    if not _account.rows:
        return
    terminalreporter.write_sep("=", "faults: tried, survived, lost")
    for fault, tried, survived in _account.rows:
        terminalreporter.write_line(f"| {fault} | {tried} | {survived} | {tried - survived} |")
    tried = sum(row[1] for row in _account.rows)
    survived = sum(row[2] for row in _account.rows)
    terminalreporter.write_line(f"| all | {tried} | {survived} | {tried - survived} |")

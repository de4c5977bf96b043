"""What every test needs: one thread, checked shapes, no tracking, a copy of the project."""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Read when torch is first imported; tiny models are slower on more threads.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ.setdefault("CVG_TRACKING", "off")

# Every call of an annotated function of cvg is checked, shapes of tensors included.
# An int is a float here, as it is for the type checker.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook("cvg", CHECKER)

LONGEST = "test_readme.py"  # minutes; it builds the chain, which the other worker takes over later
EXPENSIVE = ("whole", "zygote", "two", "chain")  # fixtures of a session that take a minute and more

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file and those with expensive fixtures, so that no core is left."""
    last = len(EXPENSIVE) + 1

    def order(item: pytest.Item) -> int:
        if item.path.name == LONGEST:
            return 0
        fixtures = getattr(item, "fixturenames", ())
        found = [number for number, name in enumerate(EXPENSIVE, start=1) if name in fixtures]
        return found[0] if found else last

    of_file: dict[Path, int] = {}
    for item in items:
        of_file[item.path] = min(order(item), of_file.get(item.path, last))
    items.sort(key=lambda item: of_file[item.path])


@pytest.fixture(scope="session", autouse=True)
def features(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder of features for this session alone: none is taken from the user's, none left."""
    os.environ["CVG_FEATURES"] = str(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project under test; tests write nothing into it."""
    return ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's source files, as a Git repository with one commit."""
    return copy_project(tmp_path / "project")


def copy_project(folder: Path) -> Path:
    """Copy the project's source files into a new Git repository."""
    for name in source_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=copy")
    return folder


def source_files() -> list[str]:
    """Tracked files and new ones that git does not ignore, without the tests."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = {name for name in listed.split("\0") if name and not name.startswith("tests/")}
    return sorted(name for name in names if (ROOT / name).is_file())


def git(folder: Path, *words: str) -> str:
    identity = [
        "-c",
        "user.name=cvg",
        "-c",
        "user.email=cvg@localhost",
        "-c",
        "commit.gpgsign=false",
    ]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Chain:
    """A copy of the project in which the whole chain has run at toy size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a command in the project, in the Python of the tests; give all that it printed."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "CVG_TRACKING": "on",
            "MLFLOW_TRACKING_URI": "",
        }
        # The copy's own code, not the installed one, which `cvg` would find first.
        command = command.replace("cvg ", "python -m pipeline ", 1)
        words = shlex.split(command)
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Run `dvc repro` at toy size, once for all tests that look at what it gives.

    Of several workers one runs it, and each has a copy of its own.
    """
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (common / "chain.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = common / "chain"
        if not ran.exists():
            building = common / "chain-unfinished"
            shutil.rmtree(building, ignore_errors=True)  # of a worker whose chain did not run
            run_chain(Chain(copy_project(building)))
            await_recorder(building)  # which would look for its files at the old place
            building.rename(ran)
    return copy_chain(ran, own / "own-chain")


def copy_chain(folder: Path, to: Path) -> Chain:
    """Copy a project that has run, with DVC's cache."""
    await_recorder(folder)
    return Chain(Path(shutil.copytree(folder, to, symlinks=True)))


def await_recorder(folder: Path) -> None:
    """Wait until nobody writes to the record of runs of a project any more."""
    until = time.monotonic() + 60
    while list(folder.glob(".runs/tracking/*.sock")):
        assert time.monotonic() < until, "the recorder of a run does not end"
        time.sleep(0.1)


@pytest.fixture
def own_chain(chain: Chain, tmp_path: Path) -> Chain:
    """A copy of the chain for a test that leaves it otherwise than it was."""
    return copy_chain(chain.folder, tmp_path / "chain")


def run_chain(chain: Chain) -> None:
    """Run the whole chain, and commit what it wrote."""
    chain.run("cvg preset quick")
    # Fewer clips than the preset has: the network of FVD takes most of the time.
    params = chain.folder / "params.yaml"
    text, count = re.subn(r"(?m)^  clips: \d+", "  clips: 2", params.read_text(encoding="utf-8"))
    assert count == 3  # check_vqgan, check_transformers, sample
    params.write_text(text, encoding="utf-8")
    chain.run("dvc repro")
    git(chain.folder, "add", "--all")
    git(chain.folder, "commit", "--quiet", "--message=ran")

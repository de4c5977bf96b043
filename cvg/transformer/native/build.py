"""Compile the step on first use, with the compiler of the machine, into the user's cache folder.

PyTorch's own builder is not taken: it needs ninja, compiles PyTorch's headers for a minute, and a
build that was killed leaves a lock behind on which every later one waits for ever
(docs/decisions/0018-native-step.md).
"""

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from cvg.files import cache_folder, replacing_file
from cvg.training.messages import tell, warn

SOURCE = Path(__file__).with_name("step.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
SECONDS = 300.0  # after which a compiler is given up


@functools.cache
def library() -> ctypes.CDLL | None:
    """Give the compiled step; None, with a word on why, where it cannot be had.

    Side effects: once for each processor, compiler and version of the source, some seconds of
    compiling, and a file of some 50 kB in the user's cache folder.
    """
    compiler = find_compiler()
    if compiler is None:
        warn("no C++ compiler was found: install g++ or clang, or name one in CXX")
        return None
    path = cache_folder() / "native" / f"step-{_fingerprint(compiler)}.so"
    try:
        if not path.is_file():
            _compile(compiler, path)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        warn(f"{shlex.join(compiler)} cannot compile {SOURCE.name}: {said.strip()[-500:]}")
        return None


def find_compiler() -> list[str] | None:
    """Give the C++ compiler, `$CXX` first, as words of a command."""
    candidates = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    for candidate in candidates:
        words = shlex.split(candidate)
        if shutil.which(words[0]):
            return words
    return None


def _compile(compiler: list[str], path: Path) -> None:
    tell(f"compiling the native step with {shlex.join(compiler)}, once for this machine")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(path) as temporary:
        subprocess.run(
            [*compiler, *FLAGS, "-o", str(temporary), str(SOURCE)],
            check=True,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


def _fingerprint(compiler: list[str]) -> str:
    """Name a build by all that shapes it; folders of users are shared by machines of many kinds."""
    version = subprocess.run(
        [*compiler, "--version"], check=False, capture_output=True, text=True, timeout=SECONDS
    ).stdout
    parts = (SOURCE.read_text(encoding="utf-8"), version, " ".join(FLAGS), _processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return os.uname().machine
    names = ("flags", "Features", "model name")
    return "\n".join(sorted({line for line in lines if line.startswith(names)}))

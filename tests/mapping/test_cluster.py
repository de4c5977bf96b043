"""What is said where Ray is not to be had; that it works is shown by `make scale`."""

import socket
import sys
from types import SimpleNamespace

import pytest

from cvg.errors import UserError
from cvg.mapping.cluster import run_with_ray
from cvg.progress import Steps


def test_without_ray_it_is_said_how_to_get_it(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"Ray is not installed; expected `pip install 'cvg\[ray\]'"),
        Steps("letters", total=7) as steps,
    ):
        run_with_ray(job, range(7), address=None, steps=steps)


def test_an_address_where_nothing_listens_is_refused_at_once(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(UserError, match=rf"--ray-address {address}: nothing answers there"),
        Steps("letters", total=7) as steps,
    ):
        run_with_ray(job, range(7), address=address, steps=steps)

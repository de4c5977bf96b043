"""Parts made by Ray, on this machine or on those of a cluster.

On which machine, and whether again when one is lost, is Ray's affair.
"""

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cvg
from cvg.errors import UserError
from cvg.interrupts import SIGNALS
from cvg.mapping.job import Job, make_part
from cvg.progress import Steps

SECONDS_TO_ANSWER = 10.0
TRIES = 10  # of a part whose process or machine is lost


def run_with_ray(job: Job, numbers: Sequence[int], *, address: str | None, steps: Steps) -> None:
    """Make parts as tasks of Ray.

    Args:
        job: its folder must be seen by all machines of the cluster, under the same path.
        numbers: of the parts.
        address: of a cluster, as `ray.init` takes it; None starts Ray on this machine.
        steps: are counted.

    Raises:
        UserError: Ray is not installed, has no such cluster, or loses a part again and again; or a
            task raised this.
    """
    ray = _ray()
    if address is not None:
        _refuse_silent(address)
    _begin(ray, job, address)
    try:
        task = ray.remote(make_part).options(max_retries=TRIES, **_resources(job))
        waiting = [task.remote(job, number) for number in numbers]
        while waiting:
            done, waiting = ray.wait(waiting)
            steps.advance(ray.get(done[0]))
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, UserError) else error) from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f"Ray lost a part {TRIES + 1} times ({error}); what is done is kept, and the same "
            "command goes on"
        ) from error
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports] - an extra, not always here
    except ImportError as error:
        raise UserError(
            "--launcher ray: Ray is not installed; expected `pip install 'cvg[ray]'` here and on "
            "all machines of the cluster"
        ) from error
    return ray


def _begin(ray: Any, job: Job, address: str | None) -> None:
    """Join the cluster, or start one here."""
    # Nothing is reported to anyone; where the user has said otherwise, it stays so.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=False,
            configure_logging=False,
            runtime_env={"env_vars": _environment(job)},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"Ray at {address or 'this machine'}: cannot be used ({error})") from error
    # Those that Ray installs abort the process.
    with suppress(ValueError):  # Only the main thread has any.
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _refuse_silent(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would wait for it without end."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # a word of Ray's own, such as `auto`
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise UserError(
            f"--ray-address {address}: nothing answers there ({error}); expected the head of a "
            "Ray cluster, as `ray start --head` prints it"
        ) from error


def _resources(job: Job) -> dict[str, int]:
    """Ask for what one part computes on."""
    on_card = job.traits.get("device") == "cuda"
    return {"num_cpus": int(job.traits.get("threads", 1)), "num_gpus": int(on_card)}


def _environment(job: Job) -> dict[str, str]:
    """Give the variables of this process that shape results, and where its code is."""
    own = {name: value for name, value in os.environ.items() if name.startswith("CVG_")}
    if job.traits.get("device") == "cuda":
        own["CVG_DEVICE"] = "cuda"  # Ray gives each task one card, which is then the only one
    code = str(Path(cvg.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))
    # Ray would set the number of threads by the processors that a task asks for.
    threads = str(job.traits.get("threads", 1))
    return own | {"PYTHONPATH": path, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

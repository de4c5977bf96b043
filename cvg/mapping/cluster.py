"""Parts made by Ray, on this machine or on those of a cluster.

On which machine, and whether again when one is lost, is Ray's affair.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cvg
from cvg.errors import UserError
from cvg.mapping.job import Job, make_part
from cvg.progress import Steps

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
    # Nothing is reported to anyone; where the user has said otherwise, it stays so.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
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
        import ray
    except ImportError as error:
        raise UserError(
            "--launcher ray: Ray is not installed; expected `pip install 'cvg[ray]'` here and on "
            "all machines of the cluster"
        ) from error
    return ray


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

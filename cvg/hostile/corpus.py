"""The corpus as a whole: made in a folder of its own, run through the real extraction, judged."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from cvg.config import ExtractParams, Params
from cvg.errors import UserError
from cvg.files import replacing_folder, write_json
from cvg.frames.extract import extract
from cvg.frames.store import FrameStore
from cvg.hostile.cases import Run
from cvg.hostile.films import MAX_FRAMES, films_run
from cvg.hostile.judge import BadOutcome, Seen, Verdict, look_up
from cvg.hostile.spoilt_params import as_text, bad_params, spoil
from cvg.hostile.tables import kept_run, lone_runs, rows_run
from cvg.params import load_params

MARKER = "cases.json"
RUN_SECONDS = 600  # of one extraction over many files; each file has a limit of its own
PARAMS_SECONDS = 5


def plan_runs() -> list[Run]:
    """Give all extractions of the corpus; nothing is made yet."""
    return [films_run(), rows_run(), kept_run(), *lone_runs()]


def make_corpus(folder: Path, runs: Sequence[Run]) -> None:
    """Make the files of all runs, each run in a sub-folder of its name.

    What a pickle of an earlier corpus made beside it is removed.

    Raises:
        UserError: `folder` holds something else.
    """
    for case in (case for run in runs for case in run.cases):
        if case.expected.absent is not None:
            with suppress(OSError):
                (folder.resolve().parent / case.expected.absent).rmdir()
    with replacing_folder(folder, marker=MARKER) as temporary:
        for run in runs:
            for name, make in run.pieces.items():
                path = temporary / run.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                make(path)
        cases = [
            [run.name, case.title, case.expected.sentence()] for run in runs for case in run.cases
        ]
        write_json(temporary / MARKER, [dict(zip(COLUMNS, case, strict=True)) for case in cases])


COLUMNS = ("run", "case", "declared")


def try_runs(
    folder: Path, runs: Sequence[Run], *, params: ExtractParams, seed: int, workers: int
) -> Iterator[Verdict]:
    """Extract every run of a corpus, and judge its cases.

    Args:
        folder: as `make_corpus` left it; the stores are written into it.
        runs: those that were made.
        params: section `extract`; limits and the kind of split are replaced.
        seed: of the split.
        workers: processes that decode.
    """
    for run in runs:
        changed = hostile_params(params, run.changes)
        yield from _try_run(folder, run, params=changed, seed=seed, workers=workers)


def hostile_params(params: ExtractParams, changes: Mapping[str, object]) -> ExtractParams:
    """Give parameters under which every case has the outcome that is declared for it."""
    limits = params.limits.model_copy(
        update={"seconds": 60.0, "memory_mb": 1024, "pixels": 36_000_000, "frames": MAX_FRAMES}
    )
    common = {
        "folder_files": "videos",
        "frame_size": 64,
        "fit": "crop",
        "background": "#000000",
        "hdr": "keep",
        "fps": None,
        "stride": 1,
        "shots": "adaptive",
        "shot_ratio": 3.0,
        "shot_change": 15.0,
        "on_truncated": "skip",
        "follow_links": False,
        "split": "video",
        "held_out": 0.2,
        "min_frames": 16,
        "max_skipped": 1.0,
        "limits": limits,
    }
    return params.model_copy(update={**common, **changes})


def try_params(folder: Path, params: Params) -> Iterator[Verdict]:
    """Load files of parameters with one mistake each; a good one is spoilt in many ways.

    Args:
        folder: where the spoilt ones are written.
        params: what the good one holds.
    """
    text = as_text(params)
    place = folder / "parameters"
    place.mkdir(exist_ok=True)
    for mistake in bad_params():
        path = place / "params.yaml"
        path.write_text(spoil(text, mistake), encoding="utf-8")
        seen = Seen(outcome="used")
        try:
            with _time_limit(PARAMS_SECONDS):
                load_params(path)
        except (Exception, _HungError) as error:
            seen = _stop_of(error)
        if seen.outcome == "stopped" and f"{path}:" not in seen.text:
            seen = replace(seen, wrong="the line is not named")
        yield Verdict(run="parameters", case=mistake.case, seen=seen)


class _HungError(BaseException):
    """A run did not end in time; what catches every Exception does not catch this."""


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise in the main thread when the time is over."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _HungError(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _try_run(
    folder: Path, run: Run, *, params: ExtractParams, seed: int, workers: int
) -> Iterator[Verdict]:
    place = folder / run.name
    store = folder / "stores" / run.name
    try:
        with _time_limit(RUN_SECONDS):
            report = extract(
                place / run.manifest, out=store, params=params, seed=seed, workers=workers
            )
            seen = look_up(run, report, FrameStore.open(store))
    except (Exception, _HungError) as error:
        seen = [_stop_of(error)] * len(run.cases)
    for case, one in zip(run.cases, seen, strict=True):
        trap = case.expected.absent
        sprung = trap is not None and (folder.resolve().parent / trap).exists()
        yield Verdict(
            run=run.name, case=case, seen=replace(one, wrong="it was unpickled") if sprung else one
        )


def _stop_of(error: BaseException) -> Seen:
    if isinstance(error, UserError):
        return Seen(outcome="stopped", text=str(error))
    outcome: BadOutcome = "hung" if isinstance(error, _HungError) else "crashed"
    return Seen(outcome=outcome, text=f"{type(error).__name__}: {error}")

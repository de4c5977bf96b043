"""Who is scored, by which figures, and how these are called and written on the page."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cvg.metrics.names import has_direction, higher_is_better

Role = Literal["model", "baseline", "control"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something that is held against the real clips."""

    name: str  # dotted, as in metrics.json
    title: str
    meaning: str
    role: Role
    paired: bool  # continues the same contexts, so that frames can be compared one by one
    style: str  # of its lines and marks on the page
    optional: bool = False  # left out of tables where it has no figure


CANDIDATES = (
    Candidate(
        name="sample",
        title="Sample",
        meaning="what the model continued",
        role="model",
        paired=True,
        style="a",
    ),
    Candidate(
        name="baseline.repeat_last",
        title="Repeat last frame",
        meaning="the last given frame, standing still",
        role="baseline",
        paired=True,
        style="b",
    ),
    Candidate(
        name="baseline.nearest",
        title="Nearest training clip",
        meaning="how the training clip whose first frames are most alike went on",
        role="baseline",
        paired=True,
        style="c",
    ),
    Candidate(
        name="baseline.cross_fade",
        title="Cross-fade",
        meaning="from the last given frame to the goal, mixed",
        role="baseline",
        paired=True,
        style="e",
        optional=True,
    ),
    Candidate(
        name="control.unconditional",
        title="Unconditional",
        meaning="what the model continued without conditions: do they help?",
        role="control",
        paired=True,
        style="f",
        optional=True,
    ),
    Candidate(
        name="control.reconstruction",
        title="Reconstruction",
        meaning="the true clips through the VQGAN: what its codes alone cost",
        role="control",
        paired=True,
        style="d",
    ),
    Candidate(
        name="control.real_vs_real",
        title="Real against real",
        meaning="as many training clips: how far real clips are from each other",
        role="control",
        paired=False,
        style="e",
    ),
    Candidate(
        name="control.shuffled",
        title="Shuffled frames",
        meaning="the true clips in a wrong order: does a figure see time?",
        role="control",
        paired=False,
        style="e",
    ),
    Candidate(
        name="control.reversed",
        title="Reversed frames",
        meaning="the true clips, backwards",
        role="control",
        paired=False,
        style="e",
        optional=True,
    ),
    Candidate(
        name="control.frozen",
        title="Frozen frames",
        meaning="the first frame of the true clips, standing still",
        role="control",
        paired=False,
        style="e",
        optional=True,
    ),
)
SAMPLE = CANDIDATES[0]
BASELINES = tuple(candidate for candidate in CANDIDATES if candidate.role == "baseline")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of clips."""

    key: str  # in metrics.json and in horizon.csv
    family: str
    title: str
    unit: str
    higher_is_better: bool
    paired: bool  # compares frames one by one; else whole sets of clips

    @property
    def direction(self) -> str:
        """Say which way is better."""
        if not self.judges:
            return "a warning"
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def judges(self) -> bool:
        """Say whether a better value is a better video."""
        return has_direction(self.key)

    def better(self, one: float, other: float) -> bool:
        """Say whether `one` is strictly better than `other`."""
        return one > other if self.higher_is_better else one < other

    def show(self, value: float) -> str:
        """Write a value as people do in tables of this figure."""
        match self.family:
            case "psnr":
                return f"{value:.2f}"
            case "fvd" | "kvd" | "framefd":
                text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
                return "0.0" if text == "-0.0" else text
            case _:
                return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"


# Family, title, unit, paired, whether its absence is shown; in the order of the page.
FAMILIES = (
    ("psnr", "PSNR", "dB", True, True),
    ("ssim", "SSIM", "", True, True),
    ("lpips", "LPIPS", "", True, True),
    ("fvd", "FVD", "", False, True),
    ("kvd", "KVD", "", False, False),
    ("framefd", "Frame FD", "", False, False),
    ("motion_distance", "Motion distance", "grey levels", False, False),
    ("caption_accuracy", "Caption accuracy", "", False, False),
    ("critic_auc", "Critic's AUC", "", False, False),
    ("repeated", "Repeated frames", "", False, False),
    ("copied", "Copied", "", False, False),
)


def metrics_of(keys: Iterable[str]) -> list[Metric]:
    """Give the known figures among `keys`; a family that none belongs to stands for itself."""
    present = sorted(set(keys))
    found: list[Metric] = []
    for family, title, unit, paired, always in FAMILIES:
        matching = [key for key in present if key == family or key.startswith(f"{family}_")]
        found += [
            Metric(
                key=key,
                family=family,
                title=_title(title, key.removeprefix(family)),
                unit=unit,
                higher_is_better=higher_is_better(key),
                paired=paired,
            )
            for key in matching or [family] * always
        ]
    return found


def metric_of(key: str) -> Metric | None:
    """Give the known figure of a key."""
    return next((one for one in metrics_of([key]) if one.key == key), None)


def clip_metrics(figures: Mapping[str, Any]) -> list[Metric]:
    """Give the figures of clips that occur for any candidate."""
    return metrics_of(key for candidate in CANDIDATES for key in node(figures, candidate.name))


def node(figures: Mapping[str, Any], dotted: str) -> Mapping[str, Any]:
    """Look up a part of nested figures; empty where it is absent."""
    found: Any = figures
    for part in dotted.split("."):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _title(title: str, suffix: str) -> str:
    # That of single frames is always on a network of its own, which the protocol names.
    network = "" if title == "Frame FD" else suffix.removeprefix("_")
    return f"{title} on {network}" if network else title

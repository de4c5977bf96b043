"""A number with everything needed to believe it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from cvg.metrics.intervals import Interval
from cvg.metrics.kernel import Spread
from cvg.pretrained.catalog import I3D, LPIPS_TRUNKS, entry

# The standard names, and the one network under which each figure has been published.
RESERVED = {"fvd": I3D, "kvd": I3D} | {f"lpips_{net}": trunk for net, trunk in LPIPS_TRUNKS.items()}


Pooling = Literal["one", "mean", "best"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the clips of a figure were chosen and made."""

    split: str  # part of the data that the real clips are from
    clips: int  # on each side
    frames: int  # of a clip, context included
    context_frames: int  # real frames in front of both sides
    goal: bool = False  # whether the real frame after the clip was given too; it is not scored
    stride: int = 1  # every n-th frame of what is stored
    generated: int | None = None  # clips of the other side, where they are not as many
    starts: Literal["first", "random", "spread"] = "spread"  # where in its video a clip begins
    size: int  # pixels, before any resizing of a network
    fit: str = "as stored"  # how frames of another shape were brought to it
    fps: float | None  # None: that of each video
    samples: int = 1  # generated for each condition
    seed: int
    preset: str | None = None  # name of a published protocol
    rounding: str = "bytes on both sides"
    covariance: Literal["n - 1", "n"] = "n - 1"  # what covariances are divided by


@dataclass(frozen=True, kw_only=True)
class Network:
    """The pretrained network that a figure rests on."""

    name: str
    weights_sha256: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure with its protocol.

    Attributes:
        metric: its name.
        value: the figure.
        protocol: how the clips were chosen and made.
        scored_frames: "predicted", those after the context, or "all", context included.
        pooling: of several samples of a condition: the only one, the mean over them, or the best
            of them by this very metric, which needs the truth and is never a figure of quality.
        interval: of a mean over clips.
        spread: over repetitions, where an interval would not be valid.
        network: that the figure rests on.
        resize: what the network does to frames first.
        notes: sentences to be read with the figure.

    Raises:
        ValueError: a standard name without the verified standard network.
    """

    metric: str
    value: float
    protocol: Protocol
    scored_frames: Literal["predicted", "all"]
    pooling: Pooling = "one"
    interval: Interval | None = None
    spread: Spread | None = None
    network: Network | None = None
    resize: str = "none"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        standard = RESERVED.get(self.metric)
        if self.metric == "lpips":
            raise ValueError("lpips alone says too little: name it lpips_alex or lpips_vgg")
        if standard is not None and not _is_standard(self.network, standard):
            found = self.network.name if self.network else "no network"
            raise ValueError(
                f"{self.metric} is the name of a figure on {standard} with its known weights; "
                f"found {found}; name it with metric_name"
            )

    def to_dict(self) -> dict[str, Any]:
        """Give all fields as plain values for JSON."""
        tree = asdict(self)
        return tree | {"notes": list(self.notes)}


def metric_name(standard_name: str, network: Network) -> str:
    """Name a figure: the standard name on the standard network, else the network is in the name.

    >>> metric_name("fvd", Network(name="random", weights_sha256="0"))
    'fvd_random'
    """
    if _is_standard(network, RESERVED[standard_name]):
        return standard_name
    # Other weights under the same name are another network.
    suffix = f"-{network.weights_sha256[:8]}" if network.name == RESERVED[standard_name] else ""
    return f"{standard_name}_{network.name}{suffix}"


def _is_standard(network: Network | None, name: str) -> bool:
    if network is None:
        return False
    return network == Network(name=name, weights_sha256=entry(name).sha256)

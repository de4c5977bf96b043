"""The plan of a run before it is begun: does it fit, how long does it take, what should change."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from cvg.config import TrainingParams
from cvg.planning.memory import STRATEGIES, USABLE, Memory, Strategy, memory_of
from cvg.planning.networks import Networks
from cvg.planning.trace import StepCost, Trainable, trace
from cvg.training.runtime import Runtime

# By about this share of it, the memory of a step that is planned twice may differ: what Python has
# not let go of yet counts too.
UNSTEADY = 0.02


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """What a stage that trains costs.

    Attributes:
        name: as in dvc.yaml.
        section: of params.yaml that it obeys.
        params: of it.
        rows: frames or clips of a batch that one device has.
        devices: how many.
        cost: of a step on one device, one batch.
        memory: of one device, by strategy; fsdp2 only on several.
        step: plans a step of another number of rows.
    """

    name: str
    section: str
    params: TrainingParams
    rows: int
    devices: int
    cost: StepCost
    memory: Mapping[Strategy, Memory]
    step: Callable[[int], StepCost]

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(self.cost.parameters.values())

    def seconds(self, rate: float, *, product: float) -> float:
        """Give the time of all steps; validation, data and links between devices cost nothing.

        Args:
            rate: operations a second of a device in forward and backward.
            product: in the large products of an optimizer.
        """
        cost = self.cost
        gradient = self.params.accumulate * (cost.forward + cost.backward) / rate
        return self.params.steps * (gradient + cost.update / product)

    def strategy(self, memory: float) -> Strategy | None:
        """Give the first strategy that fits into the bytes of a device; None where none does."""
        return next((one for one, need in self.memory.items() if _fits(need, memory)), None)


def plan_stages(networks: Networks, *, devices: int) -> list[StagePlan]:
    """Plan each stage that trains, but fine-tuning; nothing is allocated.

    Args:
        networks: of the plan, on the CPU: where tensors have no data, it stands for any device.
        devices: among which each batch is divided.
    """
    params = networks.params
    tasks: list[tuple[str, str, TrainingParams, Callable[[int], Trainable]]] = [
        ("train_vqgan", "vqgan", params.vqgan, networks.vqgan),
        *(
            (
                f"train_transformer@{level}",
                f"transformer.{level}",
                params.transformer.of(level),
                partial(networks.transformer, level),
            )
            for level in params.vqgan.levels
        ),
        ("train_critic", "critic", params.critic, networks.critic),
    ]
    return [_plan(*task, devices=devices, runtime=networks.runtime) for task in tasks]


def _plan(
    name: str,
    section: str,
    own: TrainingParams,
    build: Callable[[int], Trainable],
    *,
    devices: int,
    runtime: Runtime,
) -> StagePlan:
    rows = -(-own.batch_size // devices)

    def step(rows: int) -> StepCost:
        return trace(lambda: build(rows), runtime)

    cost = step(rows)
    strategies = STRATEGIES if devices > 1 else STRATEGIES[:1]
    return StagePlan(
        name=name,
        section=section,
        params=own,
        rows=rows,
        devices=devices,
        cost=cost,
        memory={
            strategy: memory_of(cost, strategy=strategy, devices=devices) for strategy in strategies
        },
        step=step,
    )


def advice(stage: StagePlan, memory: float) -> Iterator[str]:
    """Say what will not fit into the bytes of a device, and what to change.

    Args:
        stage: that is planned.
        memory: bytes of a device.
    """
    batch, accumulate = stage.params.batch_size, stage.params.accumulate
    if batch % stage.devices:
        yield (
            f"{stage.name}: {stage.section}.batch_size is {batch}, which {stage.devices} devices "
            "cannot divide evenly; make it a multiple"
        )
    fitting = stage.strategy(memory)
    if fitting == "ddp":
        return
    if fitting == "fsdp2":
        yield (
            f"{stage.name}: does not fit with DDP ({_gb(stage.memory['ddp'].total)} of "
            f"{_gb(memory)}), but with CVG_STRATEGY=fsdp2 ({_gb(stage.memory['fsdp2'].total)})"
        )
        return
    strategy, need = list(stage.memory.items())[-1]
    fixed = need.total - need.activations
    if accumulate == 1:
        fixed += stage.cost.gradients  # from then on they are held while a batch is computed
    # What a step computes with grows with the rows, or stays; a line between lies above both.
    least = memory_of(stage.step(1), strategy=strategy, devices=stage.devices).activations
    slope = (need.activations - least) / max(1, stage.rows - 1)
    room = (USABLE - UNSTEADY) * memory - fixed - least
    rows = 1 + int(room / slope) if room >= 0 and slope > 0 else 0
    if fixed > USABLE * memory:
        yield (
            f"{stage.name}: weights, gradients and moments alone take {_gb(fixed)} of "
            f"{_gb(memory)}; take more devices, or lower {stage.section}.width"
        )
    elif rows < 1:
        yield (
            f"{stage.name}: not even one row a device fits: it takes "
            f"{_gb(fixed + least)} of {_gb(memory)}; lower "
            f"{', '.join(_dear(stage))}"
        )
    else:
        smaller = rows * stage.devices
        yield (
            f"{stage.name}: takes {_gb(need.total)} of {_gb(memory)} a device; lower "
            f"{stage.section}.batch_size from {batch} to {smaller} and raise accumulate from "
            f"{accumulate} to {-(-batch * accumulate // smaller)}: the same gradient in more parts"
        )


def _dear(stage: StagePlan) -> list[str]:
    """Name what activations grow with."""
    keys = ("clip_frames", "layers", "blocks", "width", "frames")
    return [f"{stage.section}.{key}" for key in keys if hasattr(stage.params, key)]


def _fits(need: Memory, memory: float) -> bool:
    return need.total <= USABLE * memory


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"

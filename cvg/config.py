"""The typed mirror of params.yaml: names, types and bounds, but no values.

There are no defaults here on purpose: a value has one home, `params.yaml`. A new key is added
there and here, nowhere else.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]

Level = Literal["top", "middle", "bottom"]
Kind = Literal["caption", "label", "fps", "motion", "actions", "map"]
LastingKind = Literal["caption", "label", "fps", "motion"]  # the same in all frames of a video
Order = Literal["raster", "parallel"]
Packing = Literal["fp32", "onednn", "fp16", "native", "native-bf16"]
CaptionUnits = Literal["words", "characters", "sentences"]
HIERARCHIES: tuple[tuple[Level, ...], ...] = (  # each coarse to fine
    ("bottom",),
    ("top", "bottom"),
    ("top", "middle", "bottom"),
)

NORM_GROUPS = 8  # of the group norms of the VQGAN


class Section(BaseModel):
    """A part of params.yaml; unknown, missing and mistyped keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield key and sentence for each impossible combination of valid values."""
        yield from ()


class DecodeLimits(Section):
    """What the decoding of one file may cost."""

    seconds: PositiveFloat
    memory_mb: Annotated[int, Field(ge=256)]
    pixels: Positive
    frames: Positive


class ExtractParams(Section):
    """From videos to frames."""

    manifest: str
    folder_files: Literal["videos", "all"]
    follow_links: bool
    frame_size: Annotated[int, Field(ge=8, le=1024)]
    fit: Literal["crop", "pad", "squash"]
    background: Annotated[str, Field(pattern="^#[0-9a-f]{6}$")]
    hdr: Literal["keep", "skip"]
    fps: PositiveFloat | None
    stride: Positive
    shots: Literal["adaptive", "none"]
    shot_ratio: Annotated[float, Field(gt=1)]
    shot_change: PositiveFloat
    on_truncated: Literal["skip", "keep"]
    split: Literal["auto", "video", "time"]
    split_min_videos: Annotated[int, Field(ge=2)]
    held_out: OpenShare
    split_gap_s: NonNegative
    min_frames: Positive
    max_skipped: Share
    limits: DecodeLimits
    shard_mb: Positive

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield rates that contradict each other."""
        if self.fps is not None and self.stride > 1:
            yield "stride", f"must be 1 where fps is set ({self.fps:g}): both choose frames"


class TrainingParams(Section):
    """What every training stage obeys."""

    steps: Positive
    batch_size: Positive
    accumulate: Positive
    max_minutes: PositiveFloat | None
    patience: Positive | None
    lr_scale: PositiveFloat
    muon_scale: PositiveFloat | None
    warmup_steps: Count
    weight_decay: NonNegative
    grad_clip: PositiveFloat
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    validate_every: Positive

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield combinations under which no best weights would ever be kept."""
        if self.validate_every > self.steps:
            yield (
                "validate_every",
                f"must be at most steps = {self.steps}, or nothing is ever validated",
            )
        if self.warmup_steps >= self.steps:
            yield "warmup_steps", f"must be below steps = {self.steps}"


class DiscriminatorParams(Section):
    """The patch discriminator."""

    enabled: bool
    pairs: bool
    width: Positive
    norm: Literal["spectral", "group"]
    start_step: Count
    weight: NonNegative
    max_adaptive: PositiveFloat
    r1_weight: NonNegative
    lecam_weight: NonNegative
    augment: bool
    lr_scale: PositiveFloat


class RateWeights(Section):
    """What a seldom code costs, by level."""

    top: NonNegative
    middle: NonNegative
    bottom: NonNegative


class VqganParams(TrainingParams):
    """The hierarchical VQGAN and its training."""

    levels: Annotated[list[Level], Field(min_length=1)]
    width: Positive
    blocks: Count
    stem: Literal[1, 2, 4, 8]
    halvings: Positive
    norm: Literal["local", "group"]
    quantizer: Literal["ema", "fsq"]
    codebook_size: Annotated[int, Field(ge=2, le=65536)]
    code_dim: Positive
    normalize: bool
    fsq_levels: Annotated[list[Annotated[int, Field(ge=3)]], Field(min_length=1)]
    codebook_decay: Annotated[float, Field(ge=0, lt=1)]
    restart_below: Share
    rate_weight: RateWeights
    commitment_weight: NonNegative
    still_weight: NonNegative
    bottom_drop: Share
    l1_weight: NonNegative
    l2_weight: NonNegative
    comparator: Literal["alex", "vgg", "none"]
    comparator_weight: NonNegative
    comparator_share: Share
    discriminator: DiscriminatorParams
    flip: bool
    shift: Count

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what no training can satisfy."""
        yield from super().conflicts()
        if tuple(self.levels) not in HIERARCHIES:
            known = " | ".join(f"[{', '.join(levels)}]" for levels in HIERARCHIES)
            yield "levels", f"must be one of {known}"
        if self.width % NORM_GROUPS:
            yield "width", f"must be a multiple of {NORM_GROUPS}, the groups of its norms"
        product = math.prod(self.fsq_levels)
        if self.quantizer == "fsq" and product != self.codebook_size:
            yield (
                "fsq_levels",
                f"must have codebook_size = {self.codebook_size} as product, not {product}",
            )
        if self.discriminator.norm == "group" and self.discriminator.width % NORM_GROUPS:
            yield "discriminator.width", f"must be a multiple of {NORM_GROUPS} with norm: group"
        if self.discriminator.pairs and self.batch_size % 2:
            yield "batch_size", "must be even with discriminator.pairs"
        if self.still_weight and self.batch_size % 2:
            yield "batch_size", "must be even with still_weight, which looks at pairs of frames"
        if self.discriminator.enabled and self.discriminator.start_step >= self.steps:
            yield (
                "discriminator.start_step",
                f"must be below vqgan.steps = {self.steps}, or the discriminator never acts",
            )
        if self.l1_weight == 0 and self.l2_weight == 0:
            yield "l2_weight", "must be above 0 where l1_weight is 0: no pixel loss is left"


class CheckVqganParams(Section):
    """Bounds of the health gate between VQGAN and transformers; null is no bound."""

    clips: Positive
    frames: Positive
    min_psnr: float | None
    min_psnr_top: float | None
    max_lpips: NonNegative | None
    max_fvd: NonNegative | None
    min_usage: Share | None
    min_perplexity: Share | None
    max_flips: Share | None
    strict: bool


class TokenizeParams(Section):
    """From frames to codes."""

    batch_size: Positive


class LevelParams(TrainingParams):
    """The transformer of one level."""

    width: Positive
    layers: Positive
    heads: Positive
    window: Positive
    clip_frames: Positive
    first_frame_weight: PositiveFloat
    code_corruption: Share
    dropout: Annotated[float, Field(ge=0, lt=1)]

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield shapes that no transformer can have."""
        yield from super().conflicts()
        if self.width % (4 * self.heads):
            yield (
                "width",
                f"must be a multiple of 4 * heads = {4 * self.heads} (rotary pairs in each head)",
            )


class ConditionDropout(Section):
    """Shares of the training clips that lose a condition, and that lose all."""

    caption: Share
    label: Share
    fps: Share
    motion: Share
    actions: Share
    map: Share
    everything: Share


class ConditionsParams(Section):
    """What the transformers are conditioned on."""

    caption_units: CaptionUnits
    caption_length: Count
    motion_buckets: Annotated[int, Field(ge=1, le=100)]
    strides: Annotated[list[Positive], Field(min_length=1)]
    goal_share: Share
    dropout: ConditionDropout

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield rates under which nothing could be validated."""
        if 1 not in self.strides:
            yield "strides", "must have 1: held-out clips are of every frame"

    def share_dropped(self, kind: str) -> float:
        """Give the share of clips that lose a kind of condition."""
        return getattr(self.dropout, kind)


class TransformerParams(Section):
    """One transformer a level; those of levels that the VQGAN does not have are not used."""

    order: Order
    keep_first: bool
    conditions: ConditionsParams
    top: LevelParams
    middle: LevelParams
    bottom: LevelParams

    def of(self, level: Level) -> LevelParams:
        """Give the parameters of one level."""
        return {"top": self.top, "middle": self.middle, "bottom": self.bottom}[level]


class CriticParams(TrainingParams):
    """The temporal critic and its pretraining."""

    start: str | None
    input: Literal["pixels", "codes"]
    frames: Positive
    cells: Positive
    width: Positive
    layers: Positive
    heads: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    picture_dropout: Annotated[float, Field(ge=0, lt=1)]
    conditions: list[LastingKind]
    condition_dropout: Share
    noise: Annotated[float, Field(gt=0, le=1)]
    pair_weight: NonNegative
    flip: bool
    shift: Count

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield shapes that no critic can have."""
        yield from super().conflicts()
        if self.frames == 2:
            yield "frames", "must be 1, or 3 or more: two frames have no order to be shuffled"
        if self.batch_size < 2:
            yield "batch_size", "must be 2 or more: one clip is real, one is not"
        if self.width % self.heads:
            yield "width", f"must be a multiple of heads = {self.heads}"


class FinetuneParams(TrainingParams):
    """Fine-tuning of the transformers, with the critic or with samples of their own."""

    enabled: bool
    method: Literal["teach", "reward"]
    levels: Annotated[list[Level], Field(min_length=1)]
    weight: NonNegative
    max_ratio: PositiveFloat
    max_rise: NonNegative
    back_off: OpenShare
    temperature: PositiveFloat
    own_share: Share
    own_clips: Positive
    sharpness: PositiveFloat
    critic_lr_scale: PositiveFloat
    r1_weight: NonNegative
    lecam_weight: NonNegative


class GuidanceParams(Section):
    """A scale for each kind of condition."""

    caption: NonNegative
    label: NonNegative
    fps: NonNegative
    motion: NonNegative
    actions: NonNegative
    map: NonNegative


class DrawParams(Section):
    """How codes are drawn."""

    temperature: PositiveFloat
    top_k: Count
    top_p: Annotated[float, Field(gt=0, le=1)]
    guidance: GuidanceParams
    passes: Positive
    pass_noise: NonNegative
    packing: Packing
    best_of: Positive
    best_every: Positive
    motion_weight: NonNegative


class SampleParams(DrawParams):
    """From held-out context frames and conditions to future frames."""

    clips: Positive
    frames: Positive
    context_frames: Count
    goal: bool
    conditions: list[Kind]
    unconditional: bool
    fps: PositiveFloat

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield requests without a future frame."""
        if self.context_frames >= self.frames:
            yield "context_frames", f"must be below frames = {self.frames}: no frame is predicted"
        elif self.goal and self.context_frames + 1 >= self.frames:
            yield "goal", f"leaves no frame to predict: frames = {self.frames}"


class CheckTransformersParams(Section):
    """What the transformers are measured by, besides samples."""

    clips: Positive
    frames: Annotated[int, Field(ge=2)]
    context_frames: Positive
    drift_videos: Positive
    drift_frames: Annotated[int, Field(ge=2)]

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield requests without a frame to measure."""
        for key in ("frames", "drift_frames"):
            if self.context_frames >= getattr(self, key):
                yield "context_frames", f"must be below {key} = {getattr(self, key)}"


class EvaluateParams(Section):
    """From samples to figures."""

    lpips: Literal["alex", "vgg"]
    batch_size: Positive


class Params(Section):
    """The whole of params.yaml."""

    seed: Count
    lr: PositiveFloat
    extract: ExtractParams
    vqgan: VqganParams
    check_vqgan: CheckVqganParams
    tokenize: TokenizeParams
    transformer: TransformerParams
    check_transformers: CheckTransformersParams
    critic: CriticParams
    finetune: FinetuneParams
    sample: SampleParams
    evaluate: EvaluateParams

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield combinations across sections."""
        levels = self.vqgan.levels
        cell = self.vqgan.stem * 2 ** (self.vqgan.halvings + len(levels) - 1)
        if self.extract.frame_size % cell or self.extract.frame_size < 2 * cell:
            yield (
                "extract.frame_size",
                f"must be a multiple of {cell} pixels, which a code of the coarsest of "
                f"{len(levels)} levels stands for (vqgan.stem, vqgan.halvings), and at least "
                f"{2 * cell}",
            )
        if self.vqgan.shift >= self.extract.frame_size:
            yield "vqgan.shift", f"must be below extract.frame_size = {self.extract.frame_size}"
        longest = max(self.transformer.of(level).clip_frames for level in levels)
        if longest > self.extract.min_frames:
            yield (
                "extract.min_frames",
                f"must be at least the longest transformer clip_frames = {longest}",
            )
        if 2 * self.critic.frames - 1 > self.extract.min_frames:
            yield (
                "critic.frames",
                f"must be at most {(self.extract.min_frames + 1) // 2}: a clip at doubled speed "
                f"needs 2 * frames - 1, and extract.min_frames = {self.extract.min_frames}",
            )
        for key, frames in (
            ("sample.frames", self.sample.frames),
            ("check_vqgan.frames", self.check_vqgan.frames),
            ("check_transformers.frames", self.check_transformers.frames),
        ):
            if frames > self.extract.min_frames:
                yield (
                    key,
                    f"must be at most extract.min_frames = {self.extract.min_frames}: held-out "
                    "parts may be that short",
                )

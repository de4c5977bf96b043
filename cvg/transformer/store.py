"""A trained transformer on disk, with all that is needed to use it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from cvg.codes.layout import Grid, Layout
from cvg.conditions.conditioning import Conditioning
from cvg.training.weights import load_weights, reading_config, save_model
from cvg.transformer.model import Transformer, TransformerShape


@dataclass(frozen=True, kw_only=True)
class TrainedTransformer:
    """A transformer, the conditions it takes, and the VQGAN whose codes it writes."""

    model: Transformer
    conditioning: Conditioning
    vqgan_hash: str


def save_transformer(folder: Path, trained: TrainedTransformer) -> None:
    """Write the model into `folder`."""
    config = {
        "kind": "transformer",
        "shape": asdict(trained.model.shape),
        "grids": [asdict(grid) for grid in trained.model.layout.grids],
        "conditioning": asdict(trained.conditioning),
        "vqgan": trained.vqgan_hash,
    }
    save_model(folder, trained.model, config)


def load_transformer(folder: Path) -> TrainedTransformer:
    """Read a frozen transformer, in evaluation mode.

    Raises:
        UserError: files are missing, damaged, or not of a transformer.
    """
    with reading_config(folder, "transformer", stage="train-transformer") as config:
        model = Transformer(
            TransformerShape(**config["shape"]),
            Layout(grids=tuple(Grid(**grid) for grid in config["grids"])),
        )
        conditioning = Conditioning.from_json(config["conditioning"])
        vqgan_hash = config["vqgan"]
    load_weights(folder, model)
    return TrainedTransformer(
        model=model.eval().requires_grad_(False),
        conditioning=conditioning,
        vqgan_hash=vqgan_hash,
    )

"""How figures are called in `reports/metrics.json`; torch-free, the page reads it too."""

from collections.abc import Mapping
from typing import Any

from cvg.params import leaves

# LPIPS on its standard network is plain `lpips`; the protocol names the network.
PLAIN_NAMES = {"lpips_alex": "lpips"}
# Which way is better, by the first word of a name; of all others lower is.
HIGHER_IS_BETTER = ("psnr", "ssim", "caption")
# They warn of faults that good videos may have too, or describe: neither way is better.
WITHOUT_DIRECTION = ("repeated", "copied", "critic", "diversity")


def figure_key(metric: str) -> str:
    """Turn the name of a metric in the protocol into its name in the figures.

    >>> figure_key("lpips_alex"), figure_key("lpips_vgg"), figure_key("fvd")
    ('lpips', 'lpips_vgg', 'fvd')
    """
    return PLAIN_NAMES.get(metric, metric)


def has_direction(key: str) -> bool:
    """Say whether one way of a figure is better than the other.

    >>> has_direction("fvd"), has_direction("diversity_lpips_alex")
    (True, False)
    """
    return key.partition("_")[0] not in WITHOUT_DIRECTION


def higher_is_better(key: str) -> bool:
    """Say whether more is better, where there is a better; else less is.

    >>> higher_is_better("psnr"), higher_is_better("lpips_vgg")
    (True, False)
    """
    return key.partition("_")[0] in HIGHER_IS_BETTER


def flat_figures(tree: Mapping[str, Any]) -> dict[str, float]:
    """Flatten nested figures to dotted names.

    >>> flat_figures({"sample": {"fvd": 3.0}})
    {'sample.fvd': 3.0}
    """
    return {name: float(value) for name, value in leaves(tree)}

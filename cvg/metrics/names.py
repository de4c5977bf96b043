"""How figures are called in `reports/metrics.json`; torch-free, the page reads it too."""

# LPIPS on its standard network is plain `lpips`; the protocol names the network.
PLAIN_NAMES = {"lpips_alex": "lpips"}


def figure_key(metric: str) -> str:
    """Turn the name of a metric in the protocol into its name in the figures.

    >>> figure_key("lpips_alex"), figure_key("lpips_vgg"), figure_key("fvd")
    ('lpips', 'lpips_vgg', 'fvd')
    """
    return PLAIN_NAMES.get(metric, metric)

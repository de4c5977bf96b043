import json

import pytest

from cvg.metrics.scores import RESERVED, Network, Score, metric_name
from cvg.pretrained.catalog import entry

OTHER = Network(name="random", weights_sha256="ab" * 32)


def standard(metric):
    name = RESERVED[metric]
    return Network(name=name, weights_sha256=entry(name).sha256)


def score(protocol, metric, network):
    return Score(metric=metric, value=1.0, protocol=protocol, scored_frames="all", network=network)


@pytest.mark.parametrize("metric", RESERVED)
def test_a_standard_name_needs_the_verified_standard_network(protocol, metric):
    forged = Network(name=RESERVED[metric], weights_sha256="0" * 64)
    for network in (None, OTHER, forged):
        with pytest.raises(ValueError, match=f"{metric} is the name of a figure on"):
            score(protocol, metric, network)
    assert score(protocol, metric, standard(metric)).value == 1


def test_lpips_without_its_trunk_is_no_name(protocol):
    with pytest.raises(ValueError, match="lpips_alex or lpips_vgg"):
        score(protocol, "lpips", standard("lpips_alex"))


@pytest.mark.parametrize("metric", RESERVED)
def test_another_network_or_other_weights_are_in_the_name(protocol, metric):
    forged = Network(name=RESERVED[metric], weights_sha256="0" * 64)
    assert metric_name(metric, standard(metric)) == metric
    assert metric_name(metric, OTHER) == f"{metric}_random"
    assert metric_name(metric, forged) == f"{metric}_{RESERVED[metric]}-00000000"
    assert score(protocol, metric_name(metric, OTHER), OTHER).network == OTHER


def test_a_score_carries_its_protocol_into_json(protocol):
    tree = json.loads(json.dumps(score(protocol, "fvd", standard("fvd")).to_dict()))
    assert tree["protocol"]["context_frames"] == 3
    assert tree["protocol"]["split"] == "held_out"
    assert tree["network"]["weights_sha256"] == entry(RESERVED["fvd"]).sha256
    assert tree["interval"] is None
    assert tree["notes"] == []

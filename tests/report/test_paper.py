"""What the paper says, and the names of our attacks and squeezers in its tables."""

import pytest

from edgefool.attacks import METHODS
from edgefool.metrics import PAPER_SQUEEZERS
from edgefool.report.paper import WORKS, classifier_of_paper, paper_detectability, squeezer_title


def test_every_attack_has_a_title_and_a_reference():
    assert set(WORKS) == set(METHODS)
    assert len({work.title for work in WORKS.values()}) == len(WORKS)


def test_the_squeezers_of_table_1_have_its_names():
    assert [squeezer_title(name) for name in PAPER_SQUEEZERS] == [
        ("Quantisation", "4b"),
        ("Quantisation", "5b"),
        ("Quantisation", "6b"),
        ("Quantisation", "7b"),
        ("Smoothing", "2m"),
        ("Smoothing", "3m"),
    ]


@pytest.mark.parametrize("dataset", ["imagenet", "private-places365"])
def test_table_1_is_complete(dataset):
    methods = [method for method in WORKS if method not in ("robust-edgefool", "enhance")]
    for method in methods:
        for classifier in ("resnet50", "resnet18", "alexnet"):
            for squeezer in PAPER_SQUEEZERS:
                assert 0 <= paper_detectability(dataset, method, classifier, squeezer) <= 1, (method, classifier)


@pytest.mark.parametrize("network", ["resnet50", "resnet18", "alexnet"])
def test_only_the_catalogues_classifiers_are_the_papers(network):
    """The names of libraries stand for other weights, or for their centre crop instead of direct resizing."""
    assert classifier_of_paper(network) == classifier_of_paper(f"{network}-places365") == network
    neighbours = [f"torchvision:{network}", f"torchvision:{network}.IMAGENET1K_V1", f"timm:{network}"]
    neighbours += [f"hf-hub:timm/{network}.tv_in1k", f"net.py:{network}", f"wide_{network}", f"{network}-lite0", ""]
    assert [classifier_of_paper(name) for name in neighbours] == [None] * len(neighbours)

"""What the paper says: names, the figures of its Table 1, and the works it compares with."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd


class Work(NamedTuple):
    """A method as the paper names it, and where it was published."""

    title: str
    reference: str


METHODS: dict[str, Work] = {
    "nfgsm": Work(
        "N-FGSM",
        "A. Kurakin, I. Goodfellow, S. Bengio. Adversarial examples in the physical world. ICLR workshop track, 2017.",
    ),
    "pfgsm": Work(
        "P-FGSM",
        "C. Y. Li, A. S. Shamsabadi, R. Sanchez-Matilla, R. Mazzon, A. Cavallaro. Scene privacy protection. "
        "ICASSP, 2019.",
    ),
    "deepfool": Work(
        "DeepFool",
        "S. Moosavi-Dezfooli, A. Fawzi, P. Frossard. DeepFool: a simple and accurate method to fool deep neural "
        "networks. CVPR, 2016.",
    ),
    "sparsefool": Work(
        "SparseFool",
        "A. Modas, S. Moosavi-Dezfooli, P. Frossard. SparseFool: a few pixels make a big difference. CVPR, 2019.",
    ),
    "cw": Work(
        "CW",
        "N. Carlini, D. Wagner. Towards evaluating the robustness of neural networks. IEEE S&P, 2017.",
    ),
    "semanticadv": Work(
        "SemanticAdv",
        "H. Hosseini, R. Poovendran. Semantic adversarial examples. CVPR workshop track, 2018.",
    ),
    "edgefool": Work(
        "EdgeFool",
        "A. S. Shamsabadi, C. Oh, A. Cavallaro. EdgeFool: an adversarial image enhancement filter. ICASSP, 2020.",
    ),
    "enhance": Work(
        "Enhancement only",
        "Q. Fan, J. Yang, D. Wipf, B. Chen, X. Tong. Image smoothing via unsupervised learning. ACM TOG 37(6), 2018.",
    ),
}
"""By the name of the attack, in the order of Table 1; the null method, which the paper lacks, last."""

DETECTION_REFERENCE = (
    "W. Xu, D. Evans, Y. Qi. Feature squeezing: detecting adversarial examples in deep neural networks. NDSS, 2018."
)

BIBTEX = """\
@inproceedings{shamsabadi2020edgefool,
  title     = {{EdgeFool}: an Adversarial Image Enhancement Filter},
  author    = {Shamsabadi, Ali Shahin and Oh, Changjae and Cavallaro, Andrea},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  address   = {Barcelona, Spain},
  month     = may,
  year      = {2020}
}"""

SQUEEZERS = {
    "bits4": ("Quantisation", "4b"),
    "bits5": ("Quantisation", "5b"),
    "bits6": ("Quantisation", "6b"),
    "bits7": ("Quantisation", "7b"),
    "median2": ("Smoothing", "2m"),
    "median3": ("Smoothing", "3m"),
}
"""How Table 1 groups and names them."""


def method_title(method: str, label: str) -> str:
    """Return what people call a method: the paper's name, unless the run gives it a label of its own.

    >>> method_title("nfgsm", "nfgsm"), method_title("edgefool", "edgefool-k5")
    ('N-FGSM', 'edgefool-k5')
    """
    return METHODS[method].title if label == method and method in METHODS else label


def classifier_of_paper(name: str) -> str | None:
    """Return which of the paper's classifiers has the architecture that a plan names, if any has.

    >>> classifier_of_paper("torchvision:resnet18"), classifier_of_paper("resnet50-places365")
    ('resnet18', 'resnet50')
    >>> classifier_of_paper("timm:vit_base_patch16_224")
    """
    architecture = name.removeprefix("torchvision:").removeprefix("timm:").removesuffix("-places365")
    return architecture if architecture in ("resnet50", "resnet18", "alexnet") else None


def paper_detectability(dataset: str, method: str, classifier: str, squeezer: str) -> float:
    """Return a share of Table 1, NaN where it has no such cell.

    >>> paper_detectability("imagenet", "edgefool", "resnet50", "median2")
    0.32
    """
    return _table1().get((dataset, method, classifier, squeezer), float("nan"))


@cache
def _table1() -> dict[tuple[str, str, str, str], float]:
    with (files("edgefool.report") / "data" / "paper_table1.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    keys = zip(table["dataset"], table["method"], table["classifier"], table["squeezer"], strict=True)
    return dict(zip(keys, table["detected"].tolist(), strict=True))

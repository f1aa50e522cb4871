"""From the paper: titles and references of the methods, and the figures of Table 1."""

import string
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd


class Work(NamedTuple):
    """The title of a method in tables and figures, and the paper that introduced it."""

    title: str
    reference: str


WORKS = {
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
    "robust-edgefool": Work(
        "Robust EdgeFool",
        "EdgeFool on random transforms of the image: C. Xie, Z. Zhang, Y. Zhou, S. Bai, J. Wang, Z. Ren, A. Yuille. "
        "Improving transferability of adversarial examples with input diversity. CVPR, 2019.",
    ),
    "enhance": Work(
        "Enhancement only",
        "Q. Fan, J. Yang, D. Wipf, B. Chen, X. Tong. Image smoothing via unsupervised learning. ACM TOG 37(6), 2018.",
    ),
}
"""By attack, in the order of Table 1, the null method last; it and Robust EdgeFool are not in the paper."""

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

_SQUEEZER_GROUPS = {"bits": ("Quantisation", "b"), "median": ("Smoothing", "m")}


def method_title(method: str, label: str) -> str:
    """Return the title of a method: the paper's, unless the run gives the method its own label.

    >>> method_title("nfgsm", "nfgsm"), method_title("edgefool", "edgefool-k5")
    ('N-FGSM', 'edgefool-k5')
    """
    return WORKS[method].title if label == method and method in WORKS else label


def squeezer_title(squeezer: str) -> tuple[str, str]:
    """Return the group and the short name of a squeezer in Table 1.

    >>> squeezer_title("median2"), squeezer_title("bits1"), squeezer_title("joint")
    (('Smoothing', '2m'), ('Quantisation', '1b'), ('', 'joint'))
    """
    size = squeezer.lstrip(string.ascii_letters)
    group, unit = _SQUEEZER_GROUPS.get(squeezer.removesuffix(size), ("", ""))
    return (group, size + unit) if group else ("", squeezer)


def classifier_of_paper(name: str) -> str | None:
    """Return the architecture of a classifier, given its name in a plan, if the paper attacks it, else None.

    Only the catalogue's names stand for the paper's classifiers: other weights of an architecture, or the centre crop
    that torchvision publishes with them, make another classifier.

    >>> classifier_of_paper("resnet18"), classifier_of_paper("resnet50-places365")
    ('resnet18', 'resnet50')
    >>> classifier_of_paper("torchvision:resnet50")
    """
    architecture = name.removesuffix("-places365")
    return architecture if architecture in ("resnet50", "resnet18", "alexnet") else None


def paper_detectability(dataset: str, method: str, classifier: str, squeezer: str) -> float:
    """Return a share of Table 1, or NaN if the table has no such cell.

    >>> paper_detectability("imagenet", "edgefool", "resnet50", "median2")
    0.32
    """
    return _table1().get((dataset, method, classifier, squeezer), float("nan"))


def format_share(share: float) -> str:
    """Format a share as in the paper, NaN as an empty string.

    >>> format_share(0.316), format_share(1.0), format_share(float("nan"))
    ('.32', '1.00', '')
    """
    return "" if share != share else f"{share:.2f}".removeprefix("0")


@cache
def _table1() -> dict[tuple[str, str, str, str], float]:
    with (files("edgefool.report") / "data" / "paper_table1.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, index_col=["dataset", "method", "classifier", "squeezer"])
    return table["detected"].to_dict()  # type: ignore[return-value]

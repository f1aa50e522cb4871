"""
Fool a classifier that was not attacked
=======================================

EdgeFool stops as soon as its classifier is wrong, and most others are not. Robust EdgeFool attacks
one or more classifiers under random transformations. Here two are attacked and a third, from the
same family, only judges, also after JPEG and resizing.
"""

# %%
# Two members of the ensemble, and a judge. A fair judge is of another family: see the results of
# `plans/transfer.toml`.

import torch

import edgefool
from edgefool.datasets import demo_photo
from edgefool.metrics import transform

names = ("cat", "coffee")
images = torch.stack([edgefool.resize_image(demo_photo(name), 224) for name in names])
lite0 = edgefool.load_classifier("efficientnet-lite0")
lite1 = edgefool.load_classifier("efficientnet-lite1")
judge = edgefool.load_classifier("efficientnet-lite2")
results = {
    "enhancement alone": edgefool.Enhance(v3=7)(lite0, images),
    "EdgeFool": edgefool.EdgeFool()(lite0, images),
    "robust EdgeFool": edgefool.RobustEdgeFool()(edgefool.Ensemble([lite0, lite1]), images),
}

# %%
# A transformation is applied to both the original and the result: their classes must differ.


def transformed(batch: torch.Tensor, name: str) -> torch.Tensor:
    """Return a batch after a transformation, at the size that it had."""
    made = [edgefool.resize_image(transform(image, name), 224) for image in batch]
    return torch.stack(made)


def fooled(batch: torch.Tensor, originals: torch.Tensor) -> str:
    """Return how many results the judge puts into another class than their originals."""
    with torch.no_grad():
        different = judge(batch).argmax(1) != judge(originals).argmax(1)
    return f"{int(different.sum())}/{len(different)}"


print(f"{'the judge is wrong':22}{'as it is':>10}{'JPEG 75':>10}{'half size':>11}")
for name, result in results.items():
    made = result.adversarial
    after = [fooled(transformed(made, t), transformed(images, t)) for t in ("jpeg75", "half")]
    print(f"{name:22}{fooled(made, images):>10}{after[0]:>10}{after[1]:>11}")

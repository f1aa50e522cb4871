"""
Fool a classifier that was not attacked
=======================================

EdgeFool stops as soon as its one classifier is wrong, so others mostly are not. Robust EdgeFool attacks one or more classifiers
under random transformations. Here two are attacked and a third, from the same family, only judges, after JPEG and resizing too.
"""

# %%
# Two members of the ensemble, and a judge. A fair judge is of another family: see the results of `plans/transfer.toml`.

import torch

import edgefool
from edgefool.datasets.demo import DEMO_PHOTOS
from edgefool.metrics import transform

photos = [torch.from_numpy(DEMO_PHOTOS[name]().copy()).permute(2, 0, 1) / 255 for name in ("cat", "coffee")]
images = torch.stack([edgefool.resize_image(photo, 224) for photo in photos])
lite0, lite1, judge = (edgefool.load_classifier(f"efficientnet-lite{number}") for number in range(3))
results = {
    "enhancement alone": edgefool.Enhance(v3=7)(lite0, images),
    "EdgeFool": edgefool.EdgeFool()(lite0, images),
    "robust EdgeFool": edgefool.RobustEdgeFool()(edgefool.Ensemble([lite0, lite1]), images),
}

# %%
# A transformation is applied to both the original and the result: the classifier must differ between the two.


def differs(result: edgefool.AttackResult, name: str | None) -> str:
    """Return for how many photos the judge tells the result from the original."""
    pairs = ((result.adversarial, images) if name is None else map(both(name), (result.adversarial, images)))
    with torch.no_grad():
        after, before = (judge(batch).argmax(1) for batch in pairs)
    return f"{int((after != before).sum())}/{len(images)}"


def both(name: str):
    """Return what transforms each image of a batch."""
    return lambda batch: torch.stack([edgefool.resize_image(transform(image, name), 224) for image in batch])


print(f"{'the judge is wrong':22}{'as it is':>10}{'JPEG 75':>10}{'half size':>11}")
for name, result in results.items():
    print(f"{name:22}{differs(result, None):>10}{differs(result, 'jpeg75'):>10}{differs(result, 'half'):>11}")

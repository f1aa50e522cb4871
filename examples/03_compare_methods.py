"""
Compare seven methods
=====================

The methods of the paper on the same photos and classifier, and what people would notice: how far
the colours are from the original's (CIEDE2000; about 1 is just noticeable), and how many pixels
changed.
"""

# %%
# A small ResNet that comes with the package keeps this short. `edgefool run` does the same for
# whole datasets, with resume.

import matplotlib.pyplot as plt
import torch

import edgefool
from edgefool.datasets import demo_photo
from edgefool.metrics import changed_pixels, ciede2000

names = ("cat", "coffee")
images = torch.stack([edgefool.resize_image(demo_photo(name), 160) for name in names])
classifier = edgefool.load_classifier("caltech101-resnet")
methods = {
    "EdgeFool": edgefool.EdgeFool(),
    "N-FGSM": edgefool.NFGSM(),
    "P-FGSM": edgefool.PFGSM(),
    "DeepFool": edgefool.DeepFool(),
    "SparseFool": edgefool.SparseFool(max_iterations=5),
    "Carlini-Wagner": edgefool.CW(binary_search_steps=3, max_iterations=60),
    "SemanticAdv": edgefool.SemanticAdv(trials=100),
}

# %%
# Success is counted on 8-bit images. DeepFool's and Carlini-Wagner's smallest perturbations often
# vanish there, which the paper's Table 1 does not show.

results = {name: attack(classifier, images) for name, attack in methods.items()}
print(f"{'method':16}{'success':>9}{'before rounding':>17}{'CIEDE2000':>11}{'pixels':>8}")
for name, result in results.items():
    apart = ciede2000(result.adversarial, images).mean()
    share = changed_pixels(result.adversarial, images).mean()
    done, before = result.success.sum(), result.success_float.sum()
    print(f"{name:16}{done:7d}/2{before:15d}/2{apart:11.2f}{share:8.0%}")

# %%
# The cat, by each method.

_, axes = plt.subplots(2, 4, figsize=(12, 6.4), layout="constrained")
cats = {"original": images[0]} | {name: r.adversarial[0] for name, r in results.items()}
for axis, (name, cat) in zip(axes.flat, cats.items(), strict=True):
    axis.imshow(cat.permute(1, 2, 0))
    axis.set(title=name, xticks=[], yticks=[])

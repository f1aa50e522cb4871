"""
Enhance a photo
===============

A photo is a smooth structure plus details. Sharper details are what people like about an enhanced
photo; EdgeFool hides its attack in them. This is the enhancement alone.
"""

# %%
# A photo as a tensor, (1, 3, H, W), RGB in [0, 1].

import matplotlib.pyplot as plt
import torch

from edgefool.datasets import demo_photo
from edgefool.filters import enhance_details, l0_smooth
from edgefool.images import resize_image

image = resize_image(demo_photo("cat"), 224)[None]

# %%
# L0 smoothing keeps the edges that matter and flattens the rest. What is left over are the
# details.

structure = l0_smooth(image)
details = image - structure

# %%
# The lightness of the details is amplified, and a sigmoid keeps it from exploding (Eq. 7 of the
# paper).

enhanced = enhance_details(image, structure)


def show(**images: torch.Tensor) -> None:
    """Show images side by side."""
    _, axes = plt.subplots(1, len(images), figsize=(3 * len(images), 3.2), layout="constrained")
    for axis, (name, picture) in zip(axes, images.items(), strict=True):
        axis.imshow(picture[0].clamp(0, 1).permute(1, 2, 0))
        axis.set(title=name.replace("_", " "), xticks=[], yticks=[])


show(photo=image, structure=structure, details_times_4=0.5 + 4 * details, enhanced=enhanced)

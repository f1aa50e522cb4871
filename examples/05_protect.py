"""
Protect a photo
===============

`edgefool protect photos/ --out to-post` changes a folder of photos at full resolution and keeps
their format, size and name. This is one photo, from Python.
"""

# %%
# A tensor, (3, H, W), or a file. The result has the same size, and stays within the bounds of
# *natural*.

import matplotlib.pyplot as plt

import edgefool
from edgefool.datasets import demo_photo

photo = demo_photo("coffee")
protected = edgefool.protect(photo, strength="natural")

_, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
for axis, picture, title in zip(axes, (photo, protected), ("original", "protected"), strict=True):
    axis.imshow(picture.permute(1, 2, 0))
    axis.set(title=title, xticks=[], yticks=[])

# %%
# What this is not: protection against people, against classifiers that are trained on such
# photos, or against face recognition, which was not tested.

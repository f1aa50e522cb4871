"""
Protect a folder of photos
==========================

`edgefool protect` changes photos at full resolution and keeps their format, size and name. The same from Python.
"""

# %%
# A folder with a photo, as a camera would leave it.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

import edgefool
from edgefool.datasets.demo import DEMO_PHOTOS

folder = Path(tempfile.mkdtemp())
(folder / "photos").mkdir()
Image.fromarray(DEMO_PHOTOS["coffee"]()).save(folder / "photos" / "coffee.jpg", quality=90)

# %%
# A `Protector` holds the classifiers. It takes and returns images at any size, here within the bounds of *natural*.

photo = edgefool.read_image(folder / "photos" / "coffee.jpg")
protected = edgefool.protect(photo, strength="natural")

_, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
for axis, picture, title in zip(axes, (photo, protected), ("original", "protected"), strict=True):
    axis.imshow(picture.permute(1, 2, 0))
    axis.set(title=title, xticks=[], yticks=[])

# %%
# What this is not: protection against people, against classifiers that are trained on such photos, or against face
# recognition, which was not tested.

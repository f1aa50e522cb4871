"""
Attack a photo
==============

EdgeFool trains a small network for each photo. The network smooths the photo, its details are
enhanced, and the network learns to do both so that the classifier gets the result wrong.
"""

# %%
# EfficientNet-Lite0 comes with the package.

import matplotlib.pyplot as plt

import edgefool
from edgefool.datasets import demo_photo

images = edgefool.resize_image(demo_photo("cat"), 224)[None]
classifier = edgefool.load_classifier("efficientnet-lite0")

# %%
# The adversarial image is rounded to 8 bits before it is judged, so it survives in a PNG.

result = edgefool.EdgeFool()(classifier, images)
before = classifier.classes[int(result.original_class)]
after = classifier.classes[int(result.adversarial_class)]
print(f"{before} -> {after}, after {int(result.iterations)} iterations")

# %%
# What changed, with the network's smooth image in the middle.

change = result.adversarial - images
panels = [images, result.details["structure"].clamp(0, 1), (0.5 + 2 * change).clamp(0, 1), result.adversarial]
titles = [before, "structure", "twice the change", after]
_, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for axis, panel, title in zip(axes, panels, titles, strict=True):
    axis.imshow(panel[0].permute(1, 2, 0))
    axis.set(title=title, xticks=[], yticks=[])

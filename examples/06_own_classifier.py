"""
Attack your own classifier
==========================

An attack takes any `torch.nn.Module` from images in [0, 1] to logits. Put the normalisation into the module: done twice, or not
at all, it is the commonest reason for success rates that are too good.
"""

# %%
# A network as one has it, for normalised images.

import torch
from torch import nn
from torchvision.transforms import Normalize

import edgefool
from edgefool.datasets.demo import DEMO_PHOTOS

torch.manual_seed(0)
trained = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 5))
network = nn.Sequential(Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), trained.eval())

photos = [torch.from_numpy(DEMO_PHOTOS[name]().copy()).permute(2, 0, 1) / 255 for name in ("cat", "coffee", "flower")]
images = torch.stack([edgefool.resize_image(photo, 128) for photo in photos])

# %%
# Without labels the attacked class is the one that the network predicts.

result = edgefool.EdgeFool()(network, images)
for before, after, success in zip(result.original_class, result.adversarial_class, result.success, strict=True):
    print(f"{int(before)} -> {int(after)}", "" if success else "(not fooled)")

# %%
# Towards a class of your choice:

result = edgefool.PFGSM()(network, images, criterion=edgefool.Targeted(2))
print("class 2 reached:", result.success.tolist())

# %%
# The command line takes a function in a Python file that returns such a module::
#
#     edgefool attack photos/ --classifier my_model.py:make --out run

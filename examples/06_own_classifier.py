"""
Attack your own classifier
==========================

An attack takes any `torch.nn.Module` from images in [0, 1] to logits. Put the normalisation into
the module: normalising twice, or not at all, is the most common reason for success rates that are
too good.
"""

# %%
# A typical network, for normalised images.

import torch
from torch import nn
from torchvision.transforms import Normalize

import edgefool
from edgefool.datasets import demo_photo

torch.manual_seed(0)
trained = nn.Sequential(
    nn.Conv2d(3, 8, 5, stride=4),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(4),
    nn.Flatten(),
    nn.Linear(128, 5),
)
normalise = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
network = nn.Sequential(normalise, trained).eval()

names = ("cat", "coffee", "flower")
images = torch.stack([edgefool.resize_image(demo_photo(name), 128) for name in names])

# %%
# Without labels the attacked class is the one that the network predicts.

result = edgefool.EdgeFool()(network, images)
print("before:", result.original_class.tolist())
print("after: ", result.adversarial_class.tolist())

# %%
# Towards a class of your choice:

result = edgefool.PFGSM()(network, images, criterion=edgefool.Targeted(2))
print("class 2 reached:", result.success.tolist())

# %%
# The command line takes a function in a Python file that returns such a module::
#
#     edgefool attack photos/ --classifier my_model.py:make --out run

"""
Judge the attack of another library
===================================

Attacks of Foolbox, torchattacks, torchattack, ART and adversarial-library are methods here like
our own. Their images are rounded to 8 bits, judged, and counted in the same tables.
"""

# %%
# `pip install 'edgefool[peers]'` brings four of the libraries.

import torch

import edgefool
from edgefool.adapters import PeerAttack
from edgefool.datasets import demo_photo

names = ("cat", "coffee")
images = torch.stack([edgefool.resize_image(demo_photo(name), 160) for name in names])
classifier = edgefool.load_classifier("caltech101-resnet")
methods = {
    "DDN of Foolbox": PeerAttack("foolbox:DDNAttack", {"steps": 50}),
    "APGD of torchattacks": PeerAttack("torchattacks:APGD", {"eps": 4 / 255}),
    "EdgeFool": edgefool.EdgeFool(),
}

# %%
# DDN looks for the smallest perturbation, and may lose it in the 8-bit file.

for name, attack in methods.items():
    result = attack(classifier, images)
    largest = (result.adversarial - images).abs().max() * 255
    done, before = int(result.success.sum()), int(result.success_float.sum())
    print(f"{name:22}{done}/2, before rounding {before}/2, up to {largest:.0f} levels")

# %%
# On the command line, and as a method of a plan::
#
#     edgefool attack photos/ --method foolbox:DDNAttack --set steps=50 --out run
#
# Images that another tool has already written are measured by `edgefool evaluate ORIGINALS
# ADVERSARIAL --classifier NAME`.

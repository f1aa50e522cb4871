"""
Judge the attack of another library
===================================

Attacks of Foolbox, torchattacks, torchattack, ART and adversarial-library are methods here like our own. Their images are rounded
to 8 bits, judged, and counted in the same tables.
"""

# %%
# `pip install 'edgefool[peers]'` brings four of the libraries.

import torch

import edgefool
from edgefool.adapters import PeerAttack
from edgefool.datasets.demo import DEMO_PHOTOS

photos = [torch.from_numpy(DEMO_PHOTOS[name]().copy()).permute(2, 0, 1) / 255 for name in ("cat", "coffee")]
images = torch.stack([edgefool.resize_image(photo, 160) for photo in photos])
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
    print(f"{name:22}{int(result.success.sum())}/2, before rounding {int(result.success_float.sum())}/2, up to {largest:.0f} levels")

# %%
# On the command line, and as a method of a plan::
#
#     edgefool attack photos/ --method foolbox:DDNAttack --set steps=50 --out run
#
# Images that another tool has already written are measured by `edgefool evaluate ORIGINALS ADVERSARIAL --classifier NAME`.

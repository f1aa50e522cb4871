"""
Use EdgeFool from another library
=================================

Foolbox, torchattacks and ART call our attacks as their own: the same arguments, the same kind of
result, the same rules for bounds and normalisation.
"""

# %%
# One network and three photos for all of them.

import foolbox
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn

import edgefool
from edgefool.adapters.art import ArtAttack
from edgefool.adapters.foolbox import FoolboxAttack
from edgefool.adapters.torchattacks import TorchattacksAttack
from edgefool.datasets import demo_photo

names = ("cat", "coffee", "flower")
images = torch.stack([edgefool.resize_image(demo_photo(name), 128) for name in names])
classifier = edgefool.load_classifier("caltech101-resnet")
labels = classifier(images).argmax(1)

# %%
# Foolbox.

fmodel = foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
attack = FoolboxAttack(edgefool.EdgeFool())
raw, clipped, is_adv = attack(fmodel, images, labels, epsilons=None)
print("foolbox:", is_adv.tolist())

# %%
# torchattacks.

atk = TorchattacksAttack(classifier, edgefool.EdgeFool())
adv_images = atk(images, labels)
print("torchattacks:", (classifier(adv_images).argmax(1) != labels).tolist())

# %%
# The Adversarial Robustness Toolbox.

estimator = PyTorchClassifier(
    classifier,
    nn.CrossEntropyLoss(),
    input_shape=(3, 128, 128),
    nb_classes=classifier.num_classes,
    clip_values=(0, 1),
)
adversarial = ArtAttack(estimator, edgefool.EdgeFool()).generate(images.numpy(), labels.numpy())
print("ART:", (estimator.predict(adversarial).argmax(1) != labels.numpy()).tolist())

# %%
# All three results are the same.

print(torch.equal(raw, adv_images), torch.equal(raw, torch.from_numpy(adversarial)))

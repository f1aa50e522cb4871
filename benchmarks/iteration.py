"""One iteration of EdgeFool, from both starts, against its bare convolutions and its classifier alone."""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.timing import in_turns
from edgefool.attacks import EdgeFool
from edgefool.classifiers import CLASSIFIERS, Classifier
from edgefool.classifiers.fusion import fold_batch_norms
from edgefool.classifiers.vision import torchvision
from edgefool.filters.fcnn import DILATIONS, MAPS


def bare_convolutions(images: torch.Tensor, layout: torch.memory_format) -> None:
    """Run the eight convolutions forward and backward, without normalisation and activation."""
    widths = [3] + [MAPS] * len(DILATIONS)
    weights = [torch.full((MAPS, width, 3, 3), 0.01, requires_grad=True) for width in widths[:-1]]
    weights.append(torch.full((3, MAPS, 1, 1), 0.01, requires_grad=True))
    maps = images.contiguous(memory_format=layout)
    for weight, dilation in zip(weights, DILATIONS, strict=False):
        maps = F.conv2d(maps, weight, padding=dilation, dilation=dilation)
    maps = F.conv2d(maps, weights[-1])
    torch.autograd.grad(maps.sum(), weights)


def classify(classifier: nn.Module, images: torch.Tensor) -> None:
    """Run the classifier forward and backward to the images."""
    images = images.clone().requires_grad_()
    torch.autograd.grad(classifier(images)[:, 0].sum(), images)


def main() -> None:
    """Print the times and their ratio; random weights, as time does not depend on them."""
    torch.manual_seed(0)
    images = torch.rand(1, 3, 224, 224)
    net = torchvision.models.resnet18(weights=None).eval()
    fold_batch_norms(net)
    classes = [str(index) for index in range(1000)]
    preprocessing = CLASSIFIERS["resnet18"].preprocessing
    classifier = Classifier(
        net,
        name="resnet18",
        classes=classes,
        architecture="resnet18",
        preprocessing=preprocessing,
        channels_last=True,
    )
    attack, from_identity = EdgeFool(max_iterations=10**9), EdgeFool(max_iterations=10**9, start="identity")
    state, other_state = attack.begin(classifier, images, [0]), from_identity.begin(classifier, images, [0])
    iteration, identity, channels_last, contiguous, classification = in_turns(
        lambda: attack.step(classifier, state),
        lambda: from_identity.step(classifier, other_state),
        lambda: bare_convolutions(images, torch.channels_last),
        lambda: bare_convolutions(images, torch.contiguous_format),
        lambda: classify(classifier, images),
    )
    convolutions = min(channels_last, contiguous)
    ratio = iteration / (convolutions + classification)
    print(
        f"{torch.get_num_threads()} threads: iteration {iteration * 1e3:.0f} ms, from the identity "
        f"{identity / iteration:.2f} times as long, bare convolutions "
        f"{convolutions * 1e3:.0f} ms, ResNet-18 {classification * 1e3:.0f} ms: {ratio:.2f} times their sum"
    )


if __name__ == "__main__":
    main()

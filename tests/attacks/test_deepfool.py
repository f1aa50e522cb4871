import pytest
import torch

from edgefool.attacks import DeepFool
from edgefool.classifiers import Classifier, Preprocessing
from edgefool.errors import UsageError


@pytest.mark.parametrize("classes", [2, 5, 30])
def test_on_a_linear_classifier_it_is_the_projection(linear, greys, attack_floats, classes):
    classifier, images = linear(classes), greys(8)
    adversarial, state = attack_floats(DeepFool(candidates=classes), classifier, images)
    lengths = (adversarial - images).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, 1.02 * (classifier.distances(images) + 1e-4), atol=1e-5, rtol=1e-4)
    assert state.converged.all()
    assert state.iterations.tolist() == [1] * 8
    assert (classifier(adversarial).argmax(1) != classifier(images).argmax(1)).all()


def test_candidates_are_the_likeliest_classes(linear, greys, attack_floats):
    classifier, images = linear(30), greys(8)
    _, state = attack_floats(DeepFool(candidates=4), classifier, images)
    assert torch.equal(state.candidates, classifier(images).topk(4, dim=1).indices)


def test_overshoot(linear, greys, attack_floats):
    classifier, images = linear(), greys()
    far = (attack_floats(DeepFool(overshoot=1.0), classifier, images)[0] - images).flatten(1).norm(dim=1)
    near = (attack_floats(DeepFool(overshoot=0.02), classifier, images)[0] - images).flatten(1).norm(dim=1)
    torch.testing.assert_close(far / 2, near / 1.02)


def test_clipping(linear, greys, attack_floats):
    classifier, images = linear(), greys() - 0.45  # near black: the border is out of reach for many values
    images = images.clamp(0, 1)
    clipped, _ = attack_floats(DeepFool(), classifier, images)
    free, _ = attack_floats(DeepFool(clip=False), classifier, images)
    assert clipped.min() >= 0
    assert free.min() < 0


def test_normalised_space_measures_as_the_network_sees(greys, attack_floats):
    """With unequal std the nearest border is another point: the projection in (image - mean) / std."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 3))
    preprocessing = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.1, 0.5, 2.0))
    classifier = Classifier(net, name="a", classes=["a", "b", "c"], architecture="a", preprocessing=preprocessing)
    images = greys(6)
    adversarial, _ = attack_floats(DeepFool(space="normalised"), classifier, images)
    std = torch.tensor([0.1, 0.5, 2.0]).view(1, 3, 1, 1)
    weights = net[1].weight
    z = classifier(images)
    y = z.argmax(1)
    gaps = (z.gather(1, y[:, None]) - z) / (weights[None] - weights[y][:, None]).norm(dim=2)
    nearest = gaps.nan_to_num(nan=torch.inf).min(1).values
    lengths = ((adversarial - images) / std).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, 1.02 * (nearest + 1e-4).detach(), atol=1e-5, rtol=1e-4)


def test_normalised_space_needs_to_know_it(linear, greys):
    with pytest.raises(UsageError, match="needs an edgefool"):
        DeepFool(space="normalised")(linear(), greys())

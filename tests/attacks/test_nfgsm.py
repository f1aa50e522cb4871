import pytest
import torch
from torch.nn import functional as F

from edgefool.attacks import NFGSM


@pytest.mark.parametrize(("levels", "steps"), [(8, 10), (16, 20), (4, 5), (20, 24), (0.5, 1)])
def test_number_of_steps_is_the_papers(levels, steps):
    assert NFGSM(epsilon=levels / 255).max_iterations == steps


def test_on_a_linear_classifier_each_value_goes_its_way_by_n_steps(linear, greys):
    classifier, images = linear(classes=2), greys()
    result = NFGSM(max_iterations=5)(classifier, images)
    y = classifier(images).argmax(1)
    way = (classifier.weights[1 - y] - classifier.weights[y]).sign().view_as(images)
    expected = ((images + 5 / 255 * way) * 255).round() / 255
    torch.testing.assert_close(result.adversarial, expected, atol=1e-6, rtol=0)
    assert result.iterations.tolist() == [5] * 4
    assert result.backward_passes.tolist() == [5] * 4


def test_it_stays_within_epsilon_and_the_range(linear):
    images = torch.randint(0, 256, (3, 3, 6, 6), generator=torch.Generator().manual_seed(0)) / 255
    result = NFGSM(epsilon=3 / 255, max_iterations=9)(linear(), images)
    change = (result.adversarial - images).abs()
    assert change.max() == pytest.approx(3 / 255, abs=1e-6)


def test_it_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 20), torch.nn.Tanh(), torch.nn.Linear(20, 4))
    images = torch.rand(2, 3, 6, 6)
    result = NFGSM(epsilon=2 / 255, alpha=1.5 / 255, max_iterations=3)(net, images)
    for image, adversarial in zip(images, result.adversarial, strict=True):
        x, y = image[None].clone(), net(image[None]).argmax(1)
        for _ in range(3):
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(net(x), y), x)
            x = torch.minimum(torch.maximum(x + 1.5 / 255 * gradient.sign(), image - 2 / 255), image + 2 / 255)
            x = x.clamp(0, 1)
        assert (x[0] - adversarial).abs().max() <= 0.501 / 255


def test_early_stop_ends_at_the_first_iterate_of_another_class(linear, greys):
    classifier, images = linear(), greys()
    result = NFGSM(early_stop=True, epsilon=0.2)(classifier, images)
    assert result.converged.all()
    assert result.success_float.all()
    assert (result.iterations < NFGSM(epsilon=0.2).max_iterations).any()
    for image, y, n in zip(images, result.original_class, result.iterations, strict=True):
        less = NFGSM(epsilon=0.2, max_iterations=max(1, int(n) - 1))(classifier, image[None])
        assert n == 1 or classifier(image[None] + (less.adversarial - image)).argmax() == y


def test_early_stop_that_never_comes(linear, greys):
    classifier = linear()
    classifier.bias[0] += 1e6
    result = NFGSM(early_stop=True)(classifier, greys())
    assert not result.converged.any()
    assert result.iterations.tolist() == [10] * 4

import pytest
import torch

from edgefool.attacks import CW
from edgefool.attacks.cw import to_image


def test_on_a_linear_classifier_it_comes_near_the_projection(linear, greys, attack_floats):
    classifier, images = linear(), greys()
    attack = CW(binary_search_steps=6, max_iterations=120, learning_rate=1e-2)
    adversarial, state = attack_floats(attack, classifier, images)
    lengths = (adversarial - images).flatten(1).norm(dim=1)
    ratio = lengths / classifier.distances(images)
    assert state.converged.all()
    assert (classifier(adversarial).argmax(1) != classifier(images).argmax(1)).all()
    assert (ratio > 0.99).all()
    assert (ratio < 1.05).all(), ratio


def serial(attack, classifier, image):
    """One image, as Foolbox 1.8 goes: torch's Adam, a loop for each constant."""
    y = classifier(image[None]).argmax()
    origin = ((2 * image - 1) * 0.999999).atanh()
    start = to_image(origin)
    c, lower, upper, best, kept, passes = attack.initial_const, 0.0, float("inf"), float("inf"), image, 0
    for search in range(attack.binary_search_steps):
        late = attack.cut_late_searches and 2 * search > attack.binary_search_steps
        w = torch.zeros_like(image).requires_grad_()
        adam = torch.optim.Adam([w], lr=attack.learning_rate, eps=attack.adam_epsilon)
        found, previous, first = False, float("inf"), None
        for iteration in range(attack.max_iterations):
            x = to_image(origin + w)
            z = classifier(x[None])[0]
            others = torch.cat([z[:y], z[y + 1 :]])
            distance = (x - start).square().sum()
            loss = distance + c * (z[y] - others.max() + attack.confidence).clamp_min(0)
            adam.zero_grad()
            loss.backward()
            passes += 1
            if z.argmax() != y and others.max() - z[y] >= attack.confidence:
                found = True
                if distance < best:
                    best, kept = distance.item(), x.detach()
            adam.step()
            first = loss.item() if first is None else first
            now = attack.abort_early and late and iteration == -(-attack.max_iterations // 25)
            if now and loss.item() > first and best > 4 * first:
                break
            if attack.abort_early and iteration % -(-attack.max_iterations // 10) == 0:
                if not loss <= 0.9999 * previous:
                    break
                previous = loss.item()
        if found:
            upper = c
        else:
            lower = c
        c = lower * 10 if upper == float("inf") else (lower + upper) / 2
    return kept, passes


@pytest.mark.parametrize(
    "attack",
    [
        CW(max_iterations=30),
        CW(max_iterations=30, cut_late_searches=False),
        CW(max_iterations=100, learning_rate=0.1),
        CW(max_iterations=30, confidence=2.0, abort_early=False),
    ],
)
def test_it_is_the_serial_algorithm(linear, greys, attack_floats, attack):
    classifier, images = linear(seed=2, scale=3.0), greys(3)
    adversarial, state = attack_floats(attack, classifier, images)
    assert torch.equal(state.backward_passes, state.forward_passes - 1)
    # Four searches begin without a pass; one pass is the decision on the original.
    assert torch.equal(state.forward_passes, state.iterations - 3)
    for image, batched, iterations in zip(images, adversarial, state.iterations, strict=True):
        alone, passes = serial(attack, classifier, image)
        torch.testing.assert_close(batched, alone, atol=1e-4, rtol=0)
        assert iterations == passes


def test_late_searches_are_cut_where_they_began_better(linear, greys):
    """Steps as large as these leap over the boundary at once, whatever c is."""
    classifier, images = linear(seed=2, scale=3.0), greys(8)
    whole, cut = (
        CW(max_iterations=100, learning_rate=0.1, cut_late_searches=late)(classifier, images) for late in (False, True)
    )
    assert torch.equal(cut.success_float, whole.success_float)
    assert (cut.forward_passes <= whole.forward_passes).all()
    assert cut.forward_passes.sum() < whole.forward_passes.sum()


def test_confidence_is_kept(linear, greys, attack_floats):
    classifier, images = linear(), greys()
    adversarial, state = attack_floats(CW(confidence=3.0, max_iterations=150), classifier, images)
    assert state.converged.all()
    for z, y in zip(classifier(adversarial), state.original_class, strict=True):
        assert torch.cat([z[:y], z[y + 1 :]]).max() - z[y] >= 3 - 1e-4


def test_searches_stop_early_where_nothing_is_gained(linear, greys):
    classifier, images = linear(), greys()
    patient = CW(max_iterations=40, abort_early=False)(classifier, images)
    hasty = CW(max_iterations=40)(classifier, images)
    assert patient.iterations.tolist() == [200] * 4
    assert (hasty.iterations < 200).all()


def test_black_and_white_take_patience(linear):
    """The tanh is flat there, so that the loss hardly falls at first."""
    images = torch.randint(0, 2, (3, 3, 6, 6), generator=torch.Generator().manual_seed(0)).float()
    result = CW(binary_search_steps=3, max_iterations=200, learning_rate=0.05, abort_early=False)(linear(), images)
    assert result.adversarial.isfinite().all()
    assert result.success_float.all()

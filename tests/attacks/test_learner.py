import pytest
import torch

from edgefool.attacks.learner import FromIdentity, FromSmoother
from edgefool.filters.fcnn import KERNELS, PARAMETERS, identity_parameters, split_parameters
from edgefool.filters.smoother import smoother_parameters

IMAGE = torch.zeros(3, 16, 16)


def gradients(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(PARAMETERS, generator=generator) for _ in range(count)]


def test_both_start_where_they_say():
    assert torch.equal(FromIdentity(IMAGE, 3, 1e-3, 0.01).parameters, identity_parameters(3))
    assert torch.equal(FromSmoother(IMAGE, 1e-3).parameters, smoother_parameters())


def test_learners_do_not_share_weights():
    first, second = FromSmoother(IMAGE, 1e-3), FromSmoother(IMAGE, 1e-3)
    first.learn(gradients(1)[0])
    assert torch.equal(second.parameters, smoother_parameters())


def test_from_the_identity_it_is_torchs_adam_with_clipping():
    learner, reference = FromIdentity(IMAGE, 0, 1e-3, 0.01), identity_parameters(0).requires_grad_()
    adam = torch.optim.Adam([reference], lr=1e-3)
    for gradient in [*gradients(2), 1e-6 * gradients(1, seed=1)[0]]:
        learner.learn(gradient)
        reference.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_([reference], 0.01)
        adam.step()
    torch.testing.assert_close(learner.parameters, reference)


def test_from_the_smoother_kernels_move_by_orthogonal_matrices():
    learner, gradient = FromSmoother(IMAGE, 0.1), gradients(1)[0]
    before = learner.parameters.detach().clone()
    learner.learn(gradient)
    moves = list(split_parameters((learner.parameters.detach() - before)[None]))
    slopes = list(split_parameters(gradient[None]))
    for index in range(len(KERNELS)):
        move, slope = moves[5 * index].view(24, -1), slopes[5 * index].view(24, -1)
        u, _, v = torch.linalg.svd(slope, full_matrices=False)
        assert torch.cosine_similarity((-u @ v).flatten(), move.flatten(), dim=0) > 0.95
        values = torch.linalg.svdvals(move)
        assert 0.05 < values.min() <= values.max() < 0.13
    assert moves[1].abs().item() == pytest.approx(0.025, rel=1e-3)  # Adam's first step is its rate


def test_from_the_smoother_the_length_of_a_gradient_does_not_matter():
    first, second = FromSmoother(IMAGE, 1e-3), FromSmoother(IMAGE, 1e-3)
    for number, gradient in enumerate(gradients(3)):
        first.learn(gradient)
        second.learn(gradient * 100**number)
    torch.testing.assert_close(first.parameters, second.parameters, atol=1e-6, rtol=1e-4)


def test_no_gradient_is_no_failure():
    learner = FromSmoother(IMAGE, 1e-3)
    learner.learn(torch.zeros(PARAMETERS))
    assert learner.parameters.isfinite().all()

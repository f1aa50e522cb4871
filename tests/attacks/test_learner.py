from functools import partial

import pytest
import torch

from edgefool.attacks.learner import Weights, clipped_adam, muon_and_adam
from edgefool.attacks.tensor_struct import TensorStruct
from edgefool.filters.fcnn import KERNELS, PARAMETERS, identity_parameters, split_parameters
from edgefool.filters.smoother import smoother_parameters


def start(*rows):
    return Weights.start(torch.stack(rows))


def gradients(count, seed=0):
    """Rows (count, P)."""
    return torch.randn(count, PARAMETERS, generator=torch.Generator().manual_seed(seed))


def test_networks_do_not_share_weights():
    weights = start(smoother_parameters(), smoother_parameters())
    with weights.subset(torch.tensor([True, False])) as first:
        muon_and_adam(first, gradients(1), rate=1e-3)
    assert torch.equal(weights.parameters[1], smoother_parameters())
    assert not torch.equal(weights.parameters[0], smoother_parameters())


@pytest.mark.parametrize(
    ("initial", "learn"),
    [
        (identity_parameters(0), partial(clipped_adam, rate=1e-3, max_norm=0.01)),
        (smoother_parameters(), partial(muon_and_adam, rate=2e-3)),
    ],
)
def test_other_networks_and_their_age_change_nothing(initial, learn):
    alone, young, old = (start(initial) for _ in range(3))
    learn(old, gradients(1, seed=1))
    together = TensorStruct.join([young, old])
    for seed in (2, 3):
        both = gradients(2, seed)
        learn(alone, both[:1])
        learn(together, both)
    torch.testing.assert_close(alone.parameters[0], together.parameters[0], atol=1e-6, rtol=0)


def test_from_the_identity_it_is_torchs_adam_with_clipping():
    weights, reference = start(identity_parameters(0)), identity_parameters(0).requires_grad_()
    adam = torch.optim.Adam([reference], lr=1e-3)
    for gradient in [*gradients(2), 1e-6 * gradients(1, seed=1)[0]]:
        clipped_adam(weights, gradient[None], rate=1e-3, max_norm=0.01)
        reference.grad = gradient.clone()
        torch.nn.utils.clip_grad_norm_([reference], 0.01)
        adam.step()
    torch.testing.assert_close(weights.parameters[0], reference.detach())


def test_from_the_smoother_it_is_torchs_muon_and_adam():
    weights = start(smoother_parameters())
    pieces = list(split_parameters(smoother_parameters()[None]))
    kernels = {index: torch.nn.Parameter(pieces[5 * index].view(24, -1).clone()) for index in range(len(KERNELS))}
    others = {i: torch.nn.Parameter(p.clone()) for i, p in enumerate(pieces) if i % 5 or i == 5 * len(KERNELS)}
    muon = torch.optim.Muon(kernels.values(), lr=2e-3, momentum=0.5, weight_decay=0)
    adam = torch.optim.Adam(others.values(), lr=5e-4, betas=(0.5, 0.9))
    for gradient in gradients(3):
        muon_and_adam(weights, gradient[None], rate=2e-3)
        slopes = list(split_parameters((gradient / gradient.norm())[None]))
        for index, kernel in kernels.items():
            kernel.grad = slopes[5 * index].view(24, -1).clone()
        for index, other in others.items():
            other.grad = slopes[index].clone()
        muon.step()
        adam.step()
    for index, piece in enumerate(split_parameters(weights.parameters)):
        if index in others:
            torch.testing.assert_close(piece, others[index].detach())
        else:
            theirs, before = kernels[index // 5].detach(), pieces[index].view(24, -1)
            way = theirs - before
            assert (piece.view(24, -1) - theirs).norm() < 0.03 * way.norm()  # torch's Muon computes in bfloat16


def test_from_the_smoother_the_length_of_a_gradient_does_not_matter():
    first, second = start(smoother_parameters()), start(smoother_parameters())
    for number, gradient in enumerate(gradients(3)):
        muon_and_adam(first, gradient[None], rate=1e-3)
        muon_and_adam(second, gradient[None] * 100**number, rate=1e-3)
    torch.testing.assert_close(first.parameters, second.parameters, atol=1e-6, rtol=1e-4)


def test_no_gradient_is_no_failure():
    weights = start(smoother_parameters())
    muon_and_adam(weights, torch.zeros(1, PARAMETERS), rate=1e-3)
    assert weights.parameters.isfinite().all()

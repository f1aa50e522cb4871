import torch

from edgefool.attacks.optimisers import Moments, adam, orthogonalise


def test_adam_is_torchs_for_rows_of_different_ages():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 7, generator=generator)
    theirs = [row.clone().requires_grad_() for row in rows]
    optimisers = [torch.optim.Adam([row], lr=0.1, betas=(0.8, 0.95), eps=1e-4) for row in theirs]
    moments = Moments.like(rows)
    for members in ([0], [0, 1], [1, 0], [1]):
        gradients = torch.randn(len(members), 7, generator=generator)
        some = moments.select(torch.tensor(members))
        steps = adam(gradients, some, (0.8, 0.95), 1e-4)
        moments.assign(torch.tensor(members), some)
        for member, gradient, step in zip(members, gradients, steps, strict=True):
            rows[member] -= 0.1 * step
            theirs[member].grad = gradient.clone()
            optimisers[member].step()
    torch.testing.assert_close(rows, torch.stack(theirs).detach())


MATRICES = torch.randn(3, 24, 216, generator=torch.Generator().manual_seed(0))


def test_orthogonalise_maps_the_singular_values_only():
    u, s, v = torch.linalg.svd(MATRICES.double(), full_matrices=False)
    s = s / s.norm(dim=1, keepdim=True)
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    assert 0.6 < s.min() < s.max() < 1.3
    torch.testing.assert_close(orthogonalise(MATRICES).double(), u * s[:, None] @ v, atol=1e-5, rtol=0)


def test_orthogonalise_is_that_of_torchs_muon():
    for matrix, ours in zip(MATRICES, orthogonalise(MATRICES), strict=True):
        parameter = torch.nn.Parameter(torch.zeros_like(matrix))
        parameter.grad = matrix.clone()
        torch.optim.Muon([parameter], lr=1.0, momentum=0.0, weight_decay=0).step()
        assert (ours + parameter.detach()).norm() < 0.03 * ours.norm()  # theirs is in bfloat16


def test_nothing_stays_nothing():
    assert orthogonalise(torch.zeros(1, 3, 5)).eq(0).all()
    assert adam(torch.zeros(1, 4), Moments.like(torch.zeros(1, 4))).eq(0).all()

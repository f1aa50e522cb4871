import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgefool.attacks import SparseFool
from edgefool.attacks.sparsefool import solve_plane


def solve_serially(x, w, point, released):
    """Alg. 1, one value after the other."""
    x, left = x.double().clone(), w.double().abs().clone()
    w = w.double()
    missing = w @ (x - point)
    if missing >= 0 and not released:
        return x
    side = missing.sign()
    while missing.sign() == side and left.any():
        j = left.argmax()
        length = max((missing.abs() + 1e-3) / left[j], 1e-4)
        x[j] = (x[j] + length * w[j].sign()).clamp(0, 1)
        left[j] = 0
        missing = w @ (x - point)
    return x


@given(
    seed=st.integers(0, 10**6),
    reach=st.floats(-0.5, 3).filter(lambda reach: abs(reach) > 1e-3),
    released=st.booleans(),
    sparse=st.booleans(),
)
def test_the_solver_is_the_serial_one(seed, reach, released, sparse):
    generator = torch.Generator().manual_seed(seed)
    x, w = torch.rand(3, 3, 4, 4, generator=generator), torch.randn(3, 3, 4, 4, generator=generator)
    if sparse:
        w *= torch.rand(3, 3, 4, 4, generator=generator) < 0.3
    w /= torch.linalg.vector_norm(w, dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    points = x + reach * w
    solved = solve_plane(x, w, points, released=released)
    for image, normal, point, result in zip(x, w, points, solved, strict=True):
        expected = solve_serially(image.flatten(), normal.flatten(), point.flatten().double(), released)
        torch.testing.assert_close(result.flatten().double(), expected, atol=1e-4, rtol=0)


def test_a_plane_out_of_reach_takes_every_value_to_its_bound():
    x, w = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 12**-0.5)
    w[0, 0] *= -1
    solved = solve_plane(x, w, x + 100 * w)
    assert torch.equal(solved, (w > 0).float())


def test_on_a_linear_classifier_it_changes_the_fewest_values(linear, greys):
    classifier, images = linear(classes=2), greys()
    result = SparseFool()(classifier, images)
    assert result.success.all()
    assert result.iterations.tolist() == [1] * 4
    for image, adversarial, y in zip(images, result.adversarial, result.original_class, strict=True):
        w = classifier.weights[1 - y] - classifier.weights[y]
        f = (classifier(image[None])[0, y] - classifier(image[None])[0, 1 - y]).item()
        gains = (w.abs() * torch.where(w > 0, 1 - image.flatten(), image.flatten())).gather(
            0, w.abs().argsort(descending=True)
        )
        changed = ((adversarial - image).abs() > 1 / 255).sum().item()
        # x_B lies λ (f + 1e-4 ||w||) beyond, so that many of the largest values reach it.
        goal = 3 * (f + 1e-4 * w.norm().item())
        assert changed == int((gains.cumsum(0) < goal).sum()) + 1
        assert changed < 20


def test_overshoot_is_clipped(linear, greys):
    result = SparseFool(epsilon=5.0)(linear(), greys())
    assert result.adversarial.aminmax().min >= 0


@pytest.mark.parametrize("lam", [1.0, 3.0])
def test_farther_points_change_more(linear, greys, lam):
    classifier, images = linear(), greys()
    near = (SparseFool(lam=lam)(classifier, images).adversarial - images).abs().sum()
    far = (SparseFool(lam=2 * lam)(classifier, images).adversarial - images).abs().sum()
    assert near < far


@pytest.mark.parametrize(("growth", "factors"), [(0.0, [1.0] * 13), (0.5, [1.0] * 10 + [1.5, 2.0, 2.5])])
def test_lambda_grows_after_the_tenth_plane(linear, greys, monkeypatch, growth, factors):
    lengths = []

    def stay(images, normals, points, *, released):
        lengths.append((points - images).flatten(1).norm(dim=1))
        return images

    monkeypatch.setattr("edgefool.attacks.sparsefool.solve_plane", stay)
    result = SparseFool(growth=growth, max_iterations=13)(linear(), greys())
    assert not result.success.any()
    torch.testing.assert_close(torch.stack(lengths) / lengths[0], torch.tensor(factors)[:, None].expand(13, 4))

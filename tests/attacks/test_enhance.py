import torch
from skimage import data

from edgefool.attacks import Enhance
from edgefool.filters import enhance_details, l0_smooth
from edgefool.images import round_to_8_bits


def test_it_is_eq_7_with_the_l0_image():
    images = torch.from_numpy(data.astronaut()[:64, 100:164]).permute(2, 0, 1)[None].contiguous() / 255
    result = Enhance()(lambda x: x.mean((2, 3)), images)
    structure = l0_smooth(images)
    assert torch.equal(result.details["structure"], structure)
    assert torch.equal(result.adversarial, round_to_8_bits(enhance_details(images, structure)))
    assert result.backward_passes.tolist() == [0]


def test_constants_reach_the_filters():
    images = torch.rand(1, 3, 16, 16)
    plain = Enhance()(lambda x: x.mean((2, 3)), images).adversarial
    for other in (Enhance(lam=0.2), Enhance(v3=5), Enhance(literal_sigmoid=True)):
        assert not torch.equal(other(lambda x: x.mean((2, 3)), images).adversarial, plain)

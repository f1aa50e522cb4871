import pytest
import torch
from torch import nn

from edgefool.attacks import DeepFool
from edgefool.classifiers import Classifier, Preprocessing
from edgefool.execution.judge import decide, judge


class Coarse(nn.Module):
    """Logits in a coarse dtype, all but the first tied."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, images):
        means = 30 * images.mean((2, 3))
        return torch.cat([means[:, :1] - 9, means.repeat(1, 20)], 1).to(self.dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_class_and_probability_are_those_of_the_logits_that_the_attack_saw(dtype):
    classifier = Classifier(
        Coarse(dtype),
        name="coarse",
        classes=[str(k) for k in range(61)],
        architecture="coarse",
        preprocessing=Preprocessing(),
    )
    image = (torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    result = DeepFool(max_iterations=2)(classifier, image[None])
    logits = Coarse(dtype)(result.adversarial).to(torch.promote_types(dtype, torch.float32))[0]
    assert decide(classifier, image).predicted == result.original_class
    for known in (None, result.logits[0]):
        judged = judge(image, result.adversarial[0], classifier, adversarial_logits=known)
        assert judged.success == result.success
        assert judged.adversarial.predicted == logits.argmax()
        assert judged.adversarial.probability == pytest.approx(float(logits.softmax(0).max()), rel=1e-6)

"""The result of an attack."""

from dataclasses import dataclass

from torch import Tensor

from edgefool.attacks.tensor_struct import TensorStruct


@dataclass(frozen=True)
class AttackResult(TensorStruct):
    """The result of an attack on N images.

    Attributes
    ----------
    adversarial : Tensor
        (N, 3, H, W), RGB on the 8-bit grid k / 255. The last image tried, if the attack never succeeded.
    original_class, adversarial_class : Tensor
        (N,), int64: the classifier's decision on the original and on ``adversarial`` (Eq. 3); (N, M) for an ensemble.
    logits : Tensor or tuple of Tensor
        (N, D), of ``adversarial``; for an ensemble those of each member, (N, D_m).
    success : Tensor
        (N,), bool: ``adversarial`` meets the criterion; by default, the two classes differ (Eq. 1). For an ensemble:
        by the decision of every member.
    success_float : Tensor
        (N,), bool: the image met it before rounding to 8 bits.
    success_before : Tensor
        (N,), bool: the original meets it; never by the default criterion.
    converged : Tensor
        (N,), bool: the attack met its own stopping rule rather than the limit of iterations.
    lost_gradient : Tensor
        (N,), bool: a gradient was zero, so that the attack had no direction, or not finite, so that it stopped.
    iterations, forward_passes, backward_passes : Tensor
        (N,), int64: spent on the image; passes through the classifier.
    seconds : Tensor
        (N,), float64: the image's share of the wall time; shares add up to the total.
    details : dict[str, Tensor]
        Attack-specific tensors, each (N, ...).
    """

    adversarial: Tensor
    original_class: Tensor
    adversarial_class: Tensor
    logits: Tensor | tuple[Tensor, ...]
    success: Tensor
    success_float: Tensor
    success_before: Tensor
    converged: Tensor
    lost_gradient: Tensor
    iterations: Tensor
    forward_passes: Tensor
    backward_passes: Tensor
    seconds: Tensor
    details: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.adversarial)

"""Any network as a classifier that neither it nor its user can disturb."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from edgefool.classifiers.dtypes import at_least_float32, match_dtype
from edgefool.classifiers.precision import full_float32
from edgefool.classifiers.preprocessing import Preprocessing
from edgefool.errors import UsageError


class SafeClassifier(nn.Module):
    """A network for attacks and metrics: frozen and in eval mode while in use, then as it was before.

    The network gets a copy of the images, so that it may change them in place.

    Parameters
    ----------
    classifier : nn.Module or callable
        Maps images (N, 3, H, W) to logits (N, D).
    member : str, optional
        Its name in an ensemble, for messages.

    Raises
    ------
    UsageError
        If its parameters or buffers were made in `torch.inference_mode`, which rules out gradients.

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 5))
    >>> classifier = SafeClassifier(net)
    >>> images = torch.rand(1, 3, 2, 2)
    >>> with classifier.in_use("cpu"):
    ...     torch.equal(classifier(images), classifier(images))
    True
    >>> net.training
    True
    """

    def __init__(self, classifier: nn.Module | Callable[[Tensor], Tensor], member: str | None = None):
        super().__init__()
        self.training, self.classifier, self._member = False, classifier, member
        self.name = member or str(getattr(classifier, "name", type(classifier).__name__))
        self.num_classes: tuple[int, ...] = ()  # known after the first call
        self._all_modules, self._all_parameters = list(self.modules()), list(self.parameters())
        if any(tensor.is_inference() for tensor in (*self._all_parameters, *self.buffers())):
            raise UsageError("the classifier was made in torch.inference_mode; make it outside")

    @property
    def preprocessing(self) -> Preprocessing | None:
        """That of the classifier; None if it does not say."""
        found = getattr(self.classifier, "preprocessing", None)
        return found if isinstance(found, Preprocessing) else None

    @contextmanager
    def in_use(self, device: str) -> Iterator[None]:
        """Freeze the network, and set aside the no_grad, inference_mode, autocast and TF32 of the caller.

        Only flags are set: `nn.Module.eval` may be overridden to change weights.

        Parameters
        ----------
        device : str
            The type of the images' device.
        """
        training = [m for m in self._all_modules if getattr(m, "training", False)]  # TorchScript may lack it
        learning = [parameter for parameter in self._all_parameters if parameter.requires_grad]
        try:
            for module in training:
                module.training = False
            for parameter in learning:
                parameter.requires_grad_(False)
            precision = full_float32() if device == "cuda" else nullcontext()
            with torch.inference_mode(False), torch.autocast(device, enabled=False), precision:
                yield
        finally:
            for module in training:
                module.training = True
            for parameter in learning:
                parameter.requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, D) of images (N, 3, H, W), in float32 or better.

        Raises
        ------
        UsageError
            If the network does not return logits of two classes or more, or cannot take images of this dtype.
        """
        return self._logits(self.classifier, images)

    def resize_matrices(self, images: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return what an `edgefool.Classifier` does to rows and columns first; see `Preprocessing.resize_matrices`."""
        known = self.preprocessing if hasattr(self.classifier, "classify_resized") else None
        return known.resize_matrices(images) if known else None

    def classify_resized(self, images: Tensor) -> Tensor:
        """Return the logits (N, D) of images to which the matrices were applied, as a call does for other images."""
        return self._logits(self.classifier.classify_resized, images)  # type: ignore[union-attr, arg-type]

    def _logits(self, classify: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        who = self._member or "a classifier"
        try:
            output = classify(match_dtype(images.clone(), self._all_parameters))
        except Exception as error:
            dtypes = {str(p.dtype) for p in self._all_parameters if p.is_floating_point()} - {str(images.dtype)}
            if isinstance(error, RuntimeError) and dtypes and "type" in str(error):
                problem = f"{who} with {' and '.join(sorted(dtypes))} parameters cannot take {images.dtype} images"
                raise UsageError(f"{problem}: {error}") from error
            if self._member:
                error.add_note(f"in {self._member}")
            raise
        if not isinstance(output, Tensor):
            raise UsageError(f"{who} must return logits (N, D), not a {type(output).__name__}")
        if output.ndim != 2 or len(output) != len(images) or output.shape[1] < 2 or output.is_complex():
            got = f"{output.dtype} of shape {tuple(output.shape)} for {len(images)} images"
            raise UsageError(f"{who} must return logits (N, D) of at least two classes, not {got}")
        self.num_classes = (output.shape[1],)
        return at_least_float32(output)

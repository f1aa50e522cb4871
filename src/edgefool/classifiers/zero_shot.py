"""CLIP as a classifier: the class whose name, in a sentence, is closest to the image.

Radford et al., Learning transferable visual models from natural language supervision, https://arxiv.org/abs/2103.00020.
"""

import hashlib
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from edgefool.classifiers.class_names import class_names, read_class_names
from edgefool.classifiers.hubs import downloading
from edgefool.classifiers.preprocessing import CropMode, Preprocessing
from edgefool.classifiers.published import Published
from edgefool.errors import UsageError, check_known

_PROMPT = "a photo of a {}."
_SCALE = 100.0  # of CLIP's own logits
_CROP_MODES: dict[str, CropMode] = {"shortest": "center", "squash": "squash"}
"""By open_clip's ``resize_mode``. Its ``longest``, unused by its weights, pads with another colour than border."""


def load_clip(
    name: str, classes: Path | str | None = None, cache: Path | None = None, progress: bool = True
) -> Published:
    """Return a zero-shot classifier by a network of open_clip.

    Parameters
    ----------
    name : str
        ``clip:MODEL/TAG``.
    classes : path, optional
        Text file with one class name a line. By default the classes of ImageNet, in the prompts by the less ambiguous
        names that come with open_clip.
    cache : Path, optional
        Folder of downloads, by default that of the Hugging Face hub.
    progress : bool
        Show a bar while downloading.

    Raises
    ------
    UsageError
        If open_clip is not installed, or the network or its weights are unknown.
    RunError
        If they cannot be downloaded.
    """
    open_clip = _import_open_clip(name)
    model, _, tag = name.removeprefix("clip:").rpartition("/")
    if not model:
        raise UsageError(f"{name}: must be clip:MODEL/TAG, such as clip:ViT-B-32/laion2b_s34b_b79k")
    names = class_names(1000) if classes is None else read_class_names(classes)
    prompted = open_clip.IMAGENET_CLASSNAMES if classes is None else names
    if len(names) < 2:
        raise UsageError(f"{classes} names {len(names)} classes; a classifier needs at least two")
    check_known("model of open_clip", model, open_clip.list_models())
    check_known(f"weights of open_clip's {model}", tag, open_clip.list_pretrained_tags_by_model(model))
    config = open_clip.get_pretrained_cfg(model, tag)
    with downloading(name, progress), torch.random.fork_rng(devices=[]):
        open_clip.download_pretrained(config, cache_dir=cache)  # first, as `create_model` would log its failure
        clip = open_clip.create_model(
            model, tag, force_quick_gelu=config.get("quick_gelu", False), cache_dir=cache, weights_only=True
        ).eval()
        tokenizer = open_clip.get_tokenizer(model)
        text = open_clip.build_zero_shot_classifier(clip, tokenizer, prompted, [_PROMPT])
    prompts = hashlib.sha256(json.dumps([_PROMPT, *prompted]).encode()).hexdigest()
    preprocessing = _preprocessing(name, open_clip.get_model_preprocess_cfg(clip))
    return Published(ZeroShot(clip, text), f"clip:{model} {prompts}", names, preprocessing, tag, None)


class ZeroShot(nn.Module):
    """Normalised images (N, 3, H, W) to logits (N, D): 100 times the cosine of image and text features.

    Parameters
    ----------
    clip : nn.Module
        A network of open_clip.
    text : Tensor
        (F, D) text features of the classes, each of length 1.
    """

    def __init__(self, clip: nn.Module, text: Tensor):
        super().__init__()
        self.clip = clip
        # No buffer: fingerprints cover buffers, and these numbers, computed here, depend on the machine's round-off.
        self._text = text

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        features = self.clip.encode_image(images, normalize=True)  # type: ignore[operator]
        self._text = self._text.to(features)
        logits: Tensor = _SCALE * features @ self._text
        return logits


def _preprocessing(name: str, config: dict[str, Any]) -> Preprocessing:
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = config["resize_mode"]
    if height != width or mode not in _CROP_MODES or config["interpolation"] not in ("bilinear", "bicubic"):
        raise UsageError(f"{name} needs images of {height} x {width}, {mode}, {config['interpolation']}: not supported")
    return Preprocessing(
        height, config["interpolation"], tuple(config["mean"]), tuple(config["std"]), None, _CROP_MODES[mode]
    )


def _import_open_clip(name: str) -> ModuleType:
    try:
        return importlib.import_module("open_clip")
    except ImportError as error:
        raise UsageError(f"{name} needs open_clip: pip install 'edgefool[clip]'") from error

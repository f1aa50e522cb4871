"""Loading classifiers by name."""

import sys
from functools import partial
from pathlib import Path

import torch

from edgefool.classifiers.architectures import (
    build_network,
    build_shapes,
    count_classes,
    find_builder,
    image_size,
    published_preprocessing,
)
from edgefool.classifiers.catalogue import CLASSIFIERS, ClassifierInfo
from edgefool.classifiers.checkpoints import load_exactly, read_state_dict
from edgefool.classifiers.class_names import DATA, class_names
from edgefool.classifiers.classifier import Classifier
from edgefool.classifiers.downloads import cache_folder, fetch
from edgefool.classifiers.efficientnet_lite import find_packaged_weights, rename_efficientnet
from edgefool.classifiers.factory import load_factory
from edgefool.classifiers.fusion import fold_batch_norms
from edgefool.classifiers.probe import count_logits
from edgefool.classifiers.published import load_timm, load_torchvision
from edgefool.classifiers.zero_shot import load_clip
from edgefool.errors import UsageError, unknown
from edgefool.storage import local_path


def load_classifier(
    name: str,
    *,
    weights: Path | str | None = None,
    classes: Path | str | None = None,
    device: torch.device | str = "cpu",
    cache: Path | str | None = None,
    progress: bool = True,
    size: int | None = None,
) -> Classifier:
    """Return a classifier, frozen and in eval mode; warn (`ClassifierWarning`) if its file or its logits are unusual.

    Parameters
    ----------
    name : str
        A name in `CLASSIFIERS`. ``torchvision:NAME`` or ``timm:NAME`` with ``weights``. A network whose published
        weights its library downloads: ``torchvision:NAME[.WEIGHTS]``, ``timm:NAME[.TAG]``, ``hf-hub:OWNER/MODEL`` (of
        timm), or ``clip:MODEL/TAG`` (of open_clip, zero-shot by the names of classes). Or ``path/to/file.py:function``,
        a function without arguments that returns an ``nn.Module`` from images in [0, 1] to logits, including its
        normalisation. The file is run, so use only files that you trust.
    weights : path, optional
        Checkpoint, read by `read_state_dict`; ``FILE::KEY`` chooses a part of it. With a name in `CLASSIFIERS`, the
        architecture and preprocessing of that classifier with these weights, without a download. The checkpoint
        determines the number of classes, and the input size of torchvision's vision transformers.
    classes : path, optional
        Text file with one class name per line. By default the names that the library has for published weights, else
        those of the classifier's training data; for your own classifier those of ImageNet if it has 1000 classes, of
        Places365 if it has 365, else the indices.
    device : torch.device or str
        Device of the classifier.
    cache : path, optional
        Folder of downloaded weights. By default, for a name in `CLASSIFIERS`, ``EDGEFOOL_CACHE``, else the user's
        cache folder; the libraries have caches of their own.
    progress : bool
        Show a bar while downloading, if stderr is a terminal.
    size : int, optional
        Side in pixels of the images to classify. A network from a Python file is tried with it, and without it with
        common ones; the others resize images.

    Raises
    ------
    UsageError
        If the name is unknown, a file is missing, does not fit or raises an error, or the network does not give at
        least two logits for each image.
    RunError
        If weights cannot be downloaded.
    """
    if ".py:" in name:
        if weights is not None:
            raise UsageError(f"{name} loads its own weights; leave out weights=")
        return load_factory(name, classes, size).to(device)
    library = name.partition(":")[0]
    if library in ("hf-hub", "clip") or (library in ("torchvision", "timm") and weights is None):
        if weights is not None:
            raise UsageError(f"{name} brings its own weights; leave out weights=")
        return _load_published(name, classes, device, cache, progress and sys.stderr.isatty())
    info = CLASSIFIERS.get(name)
    if info is None and not name.startswith(("torchvision:", "timm:")):
        if name.endswith(".py"):
            raise UsageError(f"{name} needs the name of a function in it: {name}:FUNCTION")
        raise unknown("classifier", name, CLASSIFIERS)
    architecture = info.architecture if info else name
    build = find_builder(architecture)
    if weights is not None:
        file = local_path(weights)
    else:
        file = _catalogue_weights(CLASSIFIERS[name], cache_folder() if cache is None else local_path(cache), progress)
    shapes = build_shapes(build)
    state = read_state_dict(file, shapes)
    if "_conv_stem.weight" in state and architecture.startswith("timm:"):
        state = rename_efficientnet(state, shapes.state_dict())
    count = count_classes(build, state, name)
    if count < 2:
        raise UsageError(f"{file} has {count} classes; a classifier needs at least two")
    net = build_network(partial(build, **image_size(shapes, state)), count)
    load_exactly(net, state, file, name)
    preprocessing = info.preprocessing if info else published_preprocessing(architecture, net)
    classifier = Classifier(
        net,
        name=name.rpartition(":")[2],
        classes=class_names(count, classes, info.dataset if info else None),
        architecture=architecture,
        preprocessing=preprocessing,
        channels_last=torch.device(device).type == "cpu",
        licence=info.licence if info and weights is None else None,
    )
    fold_batch_norms(classifier.net)
    if info is None:
        count_logits(classifier, name, preprocessing.input_size)
    return classifier.to(device)


def _load_published(
    name: str, classes: Path | str | None, device: torch.device | str, cache: Path | str | None, progress: bool
) -> Classifier:
    """Return a classifier with weights that its library downloads."""
    folder = None if cache is None else local_path(cache)
    if name.startswith("clip:"):
        found = load_clip(name, classes, folder, progress)
    else:
        load = load_torchvision if name.startswith("torchvision:") else load_timm
        found = load(name, folder, progress)
        if classes is not None:
            found = found._replace(classes=class_names(len(found.classes), classes))
    short = name.partition(":")[2]
    classifier = Classifier(
        found.net,
        # Names become folders and labels, which hold no slash.
        name=short.replace("/", "-") if name.startswith("clip:") else short.rpartition("/")[2],
        classes=found.classes,
        architecture=found.architecture,
        preprocessing=found.preprocessing,
        channels_last=torch.device(device).type == "cpu",
        tag=found.tag,
        licence=found.licence,
    )
    fold_batch_norms(classifier.net)
    count_logits(classifier, name, found.preprocessing.input_size)
    return classifier.to(device)


def _catalogue_weights(info: ClassifierInfo, cache: Path, progress: bool) -> Path:
    """Return the weights file of a classifier, downloading it if necessary."""
    if info.weights_package is not None:
        return find_packaged_weights(info.weights_package, str(info.sha256))
    if info.url is None:
        return DATA / f"{info.name.replace('-', '_')}.safetensors"
    return fetch(info.url, info.sha256, cache, validate=read_state_dict, progress=progress)

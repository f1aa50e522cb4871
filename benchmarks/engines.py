"""A classifier's pass without gradients in torch, ONNX Runtime and OpenVINO, as judges could use them.

Needs ``pip install onnx onnxscript onnxruntime openvino``, which EdgeFool does not install. The networks have random
weights, on which the time does not depend, folded batch norms and torch's channels-last order.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.timing import in_turns
from edgefool.classifiers.architectures import find_builder
from edgefool.classifiers.fusion import fold_batch_norms

NETWORKS = ("torchvision:resnet50", "timm:tf_efficientnet_lite0")


def engines(net: nn.Module, images: Tensor, file: Path) -> dict[str, Callable[[], NDArray[np.float32]]]:
    """Return a function for each engine by name, torch first, that returns the logits of the images."""
    last = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    in_last_order, pixels = images.contiguous(memory_format=torch.channels_last), images.numpy()
    torch.onnx.export(last, (images,), file, input_names=["images"], dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # on the cores of the others
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(openvino.convert_model(file), "CPU", hints)
    return {
        "torch": lambda: last(in_last_order).numpy(),
        "ONNX Runtime": lambda: session.run(None, {"images": pixels})[0],
        "OpenVINO": lambda: compiled(pixels)[0],
    }


@torch.no_grad()
def main() -> None:
    """Print torch's milliseconds an image, the share of them that other engines take, and how far logits differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="torchvision:NAME or timm:NAME")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}")
    for name in arguments.networks:
        net = find_builder(name)(num_classes=1000).eval().requires_grad_(False)
        fold_batch_norms(net)
        for count in arguments.batch_sizes:
            images = torch.rand(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))
            with tempfile.TemporaryDirectory() as folder:
                tried = engines(net, images, Path(folder) / "network.onnx")
            logits = [run() for run in tried.values()]
            seconds = in_turns(*tried.values(), rounds=arguments.rounds)
            ratios = ", ".join(
                f"{engine} {s / seconds[0]:.2f} (logits within {np.abs(found - logits[0]).max():.0e})"
                for engine, s, found in list(zip(tried, seconds, logits, strict=True))[1:]
            )
            print(f"{name}, batch of {count}: torch {1000 * seconds[0] / count:.1f} ms an image; {ratios}", flush=True)


if __name__ == "__main__":
    main()

"""L0 smoothing against OpenCV's, one core each."""

import cv2
import torch
from skimage import data

from benchmarks.timing import in_turns
from edgefool.filters import l0_smooth


def main() -> None:
    """Print the times and their ratio at two sizes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}")
    for size in ((224, 224), (451, 300)):
        pixels = cv2.resize(data.chelsea(), size)  # type: ignore[no-untyped-call]
        images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        ours, theirs = in_turns(
            lambda images=images: l0_smooth(images),  # type: ignore[misc]
            lambda pixels=pixels: cv2.ximgproc.l0Smooth(pixels, None, 0.02, 2.0),  # type: ignore[misc]
        )
        print(f"{size[0]} x {size[1]}: {ours * 1e3:.1f} ms, OpenCV {theirs * 1e3:.1f} ms: {theirs / ours:.2f} times")


if __name__ == "__main__":
    main()

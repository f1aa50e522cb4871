"""Where the photos come from."""

from edgefool.datasets.folder import Photo, find_photos

__all__ = ["Photo", "find_photos"]

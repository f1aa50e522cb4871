"""A person's own photos: read with all that a file holds, and written back in their own format."""

from edgefool.protection.metadata import MetadataPolicy
from edgefool.protection.photo_file import PhotoFile, open_photo

__all__ = ["MetadataPolicy", "PhotoFile", "open_photo"]

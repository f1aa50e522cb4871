"""A person's own photos: changed at full resolution so that classifiers get them wrong, in their own format."""

from edgefool.protection.metadata import MetadataPolicy
from edgefool.protection.photo_file import PhotoFile, open_photo
from edgefool.protection.protected_folder import ProtectedFolder, open_folder
from edgefool.protection.protector import ENSEMBLE, Protector, Strength, protect

__all__ = [
    "ENSEMBLE",
    "MetadataPolicy",
    "PhotoFile",
    "ProtectedFolder",
    "Protector",
    "Strength",
    "open_folder",
    "open_photo",
    "protect",
]

"""A person's own photos: changed at full resolution so that classifiers get them wrong, in their own format."""

from edgefool.protection.metadata import MetadataPolicy
from edgefool.protection.photo_file import PhotoFile, open_photo
from edgefool.protection.protected_folder import ProtectedFolder, open_folder
from edgefool.protection.protector import ENSEMBLE, Protector, Strength, protect
from edgefool.protection.verification import Rates, Verification
from edgefool.protection.verify_photos import verify, verify_protected

__all__ = [
    "ENSEMBLE",
    "MetadataPolicy",
    "PhotoFile",
    "ProtectedFolder",
    "Protector",
    "Rates",
    "Strength",
    "Verification",
    "open_folder",
    "open_photo",
    "protect",
    "verify",
    "verify_protected",
]

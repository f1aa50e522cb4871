"""Bytes that survive: on a disk and in object stores."""

from edgefool.storage.local_store import LocalStore
from edgefool.storage.object_store import ObjectStore
from edgefool.storage.paths import local_path, parse_path
from edgefool.storage.store import RunLock, Stat, Store, StorePath

__all__ = ["LocalStore", "ObjectStore", "RunLock", "Stat", "Store", "StorePath", "local_path", "parse_path"]

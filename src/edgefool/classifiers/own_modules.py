"""The modules that a user's Python file imports from its own folder, apart from those of every other file.

Python keeps one module for each name, but two files may each have a `model.py` beside them. So each file is imported as
a package with a name of its own, and the modules beside it as modules of that package.
"""

import builtins
import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from itertools import count
from pathlib import Path
from threading import RLock
from types import CodeType, ModuleType
from typing import Any

_NUMBERS = count(1)
_loading_lock = RLock()


class OwnModules(MetaPathFinder):
    """Imports a Python file and, for it, the modules beside it and in folders that it adds to ``sys.path``.

    Import statements in the file and in these modules find them at any time; ``importlib`` and pickles, which go by the
    name, only while `loading`. The standard library comes first. A folder without ``__init__.py``, and a module that
    is the file itself, are used only if nothing else has that name.

    Parameters
    ----------
    file : Path
        The file, absolute.

    Attributes
    ----------
    package : str
        Name under which the file is imported.
    """

    def __init__(self, file: Path):
        self._file, self.package = file, f"edgefool_user_{next(_NUMBERS)}"
        self._common, self._added = list(sys.path), list[str]()
        self._aliases: list[str] = []
        self._loading = False
        # `import` calls the `__import__` that it finds in the built-in names of its own module.
        self._builtins = {**vars(builtins), "__import__": self._import}

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Let all code of this process find the modules under their plain names, until the block ends.

        Other threads wait for the end, as these names are theirs too.
        """
        with _loading_lock:
            yield from self._load()

    def _load(self) -> Iterator[None]:
        self._common, self._loading = list(sys.path), True
        loaded = {name: module for name, module in sys.modules.copy().items() if name != "__main__"}
        hidden = {
            name: sys.modules.pop(name) for name in loaded if not _is_installed(loaded[name]) and self._owns(name)
        }
        sys.meta_path.insert(0, self)
        try:
            yield
        except BaseException:
            sys.meta_path.remove(self)
            self._aliases += [name for name in sys.modules.copy() if name.partition(".")[0] == self.package]
            raise
        finally:
            self._added, self._loading = self._new_folders(), False
            sys.path[:] = self._common
            for name in self._aliases:
                sys.modules.pop(name, None)
            sys.modules.update(hidden)

    def import_file(self) -> ModuleType:
        """Import the file itself."""
        folder, loader = str(self._file.parent), _SourceLoader(self.package, str(self._file), self._builtins)
        spec = importlib.util.spec_from_file_location(
            self.package, self._file, loader=loader, submodule_search_locations=[folder]
        )
        if spec is None:
            raise ImportError("not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.package] = module  # dataclasses look up their module
        loader.exec_module(module)
        return module

    def sha256(self) -> str | None:
        """Return the SHA-256 over the names and files of the modules imported so far; None without such modules."""
        modules = sorted(name for name in sys.modules.copy() if name.startswith(f"{self.package}."))
        files = {
            name.removeprefix(f"{self.package}."): getattr(sys.modules[name], "__file__", None) for name in modules
        }
        hashes = [(name, hashlib.sha256(Path(file).read_bytes()).hexdigest()) for name, file in files.items() if file]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest() if hashes else None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the file; called by `import`."""
        if fullname.startswith(f"{self.package}."):
            beside = fullname.count(".") == 1
            return self._find(fullname, self._folders() if beside or path is None else path)
        if self._loading and self._owns(fullname):
            module = importlib.import_module(f"{self.package}.{fullname}")
            self._aliases.append(fullname)
            return importlib.util.spec_from_loader(fullname, _Alias(module))
        return None

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 (as `__import__` has it)
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or not self._owns(name):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(f"{self.package}.{name}", globals, locals, fromlist or ())
        return module if fromlist else sys.modules[f"{self.package}.{name.partition('.')[0]}"]

    def _owns(self, name: str) -> bool:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "edgefool":
            return False
        spec = self._find(f"{self.package}.{top}", self._folders())
        if spec is not None and (spec.loader is None or spec.origin == str(self._file)):
            return PathFinder.find_spec(top, self._common) is None
        return spec is not None

    def _find(self, fullname: str, folders: Sequence[str]) -> ModuleSpec | None:
        kinds: list[tuple[Any, list[str]]] = [
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (partial(_SourceLoader, names=self._builtins), SOURCE_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        ]
        # New finders, as Python's own ones do not notice a file that was written a moment ago.
        found = [spec for folder in folders if (spec := FileFinder(folder, *kinds).find_spec(fullname))]
        return min(found, key=lambda spec: spec.loader is None, default=None)

    def _folders(self) -> list[str]:
        return [str(self._file.parent), *(self._new_folders() if self._loading else self._added)]

    def _new_folders(self) -> list[str]:
        return [folder for folder in sys.path if folder not in self._common and "site-packages" not in folder]


class _SourceLoader(SourceFileLoader):
    """Loads a module with built-in names of its own.

    Not from `__pycache__`: after an edit in the same second it would hold the old code.
    """

    def __init__(self, name: str, path: str, names: dict[str, Any]):
        super().__init__(name, path)
        self._names = names

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._names
        super().exec_module(module)


class _Alias(Loader):
    """Gives a module that is already imported a second name."""

    def __init__(self, module: ModuleType):
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has replaced it


def _is_installed(module: ModuleType) -> bool:
    return any(part in (getattr(module, "__file__", None) or "") for part in ("site-packages", "dist-packages"))

"""Reads sizes, digest and files of an image from its archive (`docker save`)."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

MB = 1_000_000


class ImageArchive:
    """An archive of one image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with tarfile.open(path) as archive:
            (self._manifest,) = json.loads(_read(archive, "manifest.json"))
            config = _read(archive, self._manifest["Config"])
        self.digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
        """The image id: the digest of its configuration, which contains the digest of each layer."""
        self.config: dict[str, Any] = json.loads(config)["config"]

    def files(self) -> dict[str, tarfile.TarInfo]:
        """All members of all layers, by path without a leading slash."""
        found: dict[str, tarfile.TarInfo] = {}
        for layer in self._layers():
            with tarfile.open(fileobj=layer) as files:
                found |= {member.name.removeprefix("./"): member for member in files.getmembers()}
        return found

    def digests(self) -> dict[str, str]:
        """SHA-256 of each regular file."""
        found: dict[str, str] = {}
        for layer in self._layers():
            with tarfile.open(fileobj=layer) as files:
                for member in files:
                    if member.isfile():
                        found[member.name.removeprefix("./")] = hashlib.sha256(_read(files, member.name)).hexdigest()
        return found

    def text(self, name: str) -> bytes:
        """The content of a file. Raises KeyError."""
        for layer in self._layers():
            with tarfile.open(fileobj=layer) as files:
                if name in files.getnames():
                    return _read(files, name)
        raise KeyError(name)

    @property
    def unpacked_bytes(self) -> int:
        """Total size of the files."""
        return sum(member.size for member in self.files().values())

    @property
    def packed_bytes(self) -> int:
        """Total size of the layers as stored in a registry."""
        return sum(len(gzip.compress(layer.read(), compresslevel=6, mtime=0)) for layer in self._layers())

    def _layers(self) -> Iterator[IO[bytes]]:
        with tarfile.open(self.path) as archive:
            for name in self._manifest["Layers"]:
                with _member(archive, name) as layer:
                    yield layer


OF_ONE_BUILD = ("container", "container_config", "parent")
"""Members of an image configuration that describe the build: names of intermediate containers and images."""


def normalize(path: Path, *, name: str) -> None:
    """Rewrite an archive so that the same image gives the same archive and digest."""
    with tarfile.open(path) as archive:
        (manifest,) = json.loads(_read(archive, "manifest.json"))
        config = json.loads(_read(archive, manifest["Config"]))
        layers = {layer: _read(archive, layer) for layer in manifest["Layers"]}
    for key in OF_ONE_BUILD:
        config.pop(key, None)
    config["config"].pop("Hostname", None)
    for step in config.get("history", ()):
        step.pop("comment", None)  # the name of an intermediate image
    text = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    named = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = {"Config": named, "Layers": list(layers), "RepoTags": [name]}
    with tarfile.open(path, "w") as archive:
        for member, content in {named: text, **layers, "manifest.json": json.dumps([manifest]).encode()}.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    with _member(archive, name) as file:
        return file.read()


@contextmanager
def _member(archive: tarfile.TarFile, name: str) -> Iterator[IO[bytes]]:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    with file:
        yield file

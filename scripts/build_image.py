"""`make image`: builds the images from the Dockerfile and prints their sizes.

Writes build/image/TARGET.tar for `docker load`, and its SBOM TARGET.cdx.json (CycloneDX).
"""

import argparse
import configparser
import os
import subprocess
import tempfile
from pathlib import Path

from scripts import engine
from scripts.image_archive import MB, ImageArchive, normalize

ROOT = Path(__file__).parents[1]
OUT = ROOT / "build" / "image"
BASE = "docker.io/library/debian:bookworm-slim"
NAMES = {"simulator": "tokenfall:simulator", "full": "tokenfall:latest"}
SBOM = "usr/share/sbom/tokenfall.cdx.json"
PIP_CONFIGURATIONS = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")
INDEX_SETTINGS = ("index-url", "extra-index-url", "timeout")
CERTIFICATES_INSIDE = "/run/ca.crt"


def main() -> None:
    """Build, save and measure the images. Raises SystemExit with one line that names a missing requirement."""
    parser = argparse.ArgumentParser(description="Build the container images.")
    parser.add_argument("--target", choices=sorted(NAMES), action="append", help="build only this image (default: all)")
    parser.add_argument("--no-cache", action="store_true", help="do not use cached layers")
    arguments = parser.parse_args()
    found = engine.find()
    if not found.has(BASE) and not found.pull(BASE):
        raise SystemExit(f"{BASE} cannot be pulled from its registry; `make base-images` builds a substitute")
    OUT.mkdir(parents=True, exist_ok=True)
    for target in arguments.target or NAMES:
        _build(found, target, no_cache=arguments.no_cache)
        print(_described(target))


def _build(found: engine.Engine, target: str, *, no_cache: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--target", target, "--tag", NAMES[target], *_secrets(Path(folder))]
        options += ["--no-cache"] if no_cache else []
        done = subprocess.run(
            [*found.build, *options, str(ROOT)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{found.name} could not build {target}")
    archive = OUT / f"{target}.tar"
    found.save(NAMES[target], archive)
    normalize(archive, name=f"{'docker.io/library' if found.name == 'docker' else 'localhost'}/{NAMES[target]}")
    found.load(archive)


def _described(target: str) -> str:
    image = ImageArchive(OUT / f"{target}.tar")
    (OUT / f"{target}.cdx.json").write_bytes(image.text(SBOM))
    sizes = f"{image.unpacked_bytes / MB:.2f} MB unpacked, {image.packed_bytes / MB:.2f} MB packed"
    return f"{NAMES[target]}: {sizes}, {image.digest}, in build/image/{target}.tar"


def _secrets(folder: Path) -> list[str]:
    """Arguments that pass this machine's pip configuration and certificates to the build as secrets, if it has any."""
    configuration = configparser.ConfigParser()
    configuration.read([Path(name).expanduser() for name in PIP_CONFIGURATIONS])
    settings: dict[str, str] = dict(configuration["global"]) if "global" in configuration else {}
    certificates = os.environ.get("PIP_CERT") or settings.get("cert")
    kept = {name: text for name, text in settings.items() if name in INDEX_SETTINGS}
    if certificates:
        kept["cert"] = CERTIFICATES_INSIDE
    if not kept:
        return []
    (folder / "pip.conf").write_text("[global]\n" + "".join(f"{name} = {text}\n" for name, text in kept.items()))
    given = {"pip.conf": folder / "pip.conf", **({"ca.crt": certificates} if certificates else {})}
    return [word for name, path in given.items() for word in ("--secret", f"id={name},src={path}")]


if __name__ == "__main__":
    main()

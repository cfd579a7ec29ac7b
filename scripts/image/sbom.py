"""Generates the SBOM of an image, as CycloneDX 1.5 JSON. Part of the image build.

Files are assigned to Debian's packages by dpkg and to PyPI's by their own records; nothing is listed by hand.
"""

import json
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

PLACE = Path("usr/share/sbom/tokenfall.cdx.json")


def document(taken: Iterable[Path], site_packages: Path, *, target: str) -> bytes:
    """The packages that own any of the files `taken`. Reproducible: without date and serial number."""
    python = [_pypi(one) for one in sorted(_owners(set(taken), site_packages), key=lambda one: one.name)]
    debian = [
        _debian(name) for name in sorted(_debian_owners(path for path in taken if site_packages not in path.parents))
    ]
    own = next(one for one in python if one["name"] == "tokenfall")
    about = {"type": "container", "name": f"tokenfall-{target}", "version": own["version"], "bom-ref": "image"}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": about},
        "components": [*python, *debian],
    }
    return json.dumps(bom, indent=1).encode() + b"\n"


def _owners(taken: set[Path], site_packages: Path) -> list[Distribution]:
    return [
        one
        for one in distributions(path=[str(site_packages)])
        if any(Path(str(one.locate_file(file))) in taken for file in one.files or ())
    ]


def _pypi(one: Distribution) -> dict[str, Any]:
    name = re.sub(r"[-_.]+", "-", one.name).lower()
    purl = f"pkg:pypi/{name}@{one.version}"
    found: dict[str, Any] = {"type": "library", "name": name, "version": one.version, "purl": purl, "bom-ref": purl}
    licences = one.metadata.get_all("License-Expression") or ()
    return found | ({"licenses": [{"expression": licences[0]}]} if licences else {})


def _debian_owners(paths: Iterable[Path]) -> set[str]:
    """The installed packages of these files. Debian lists some files of /usr/lib under /lib."""
    names = {str(name) for path in paths for name in (path, path.resolve())}
    aliases = {name.removeprefix("/usr") for name in names if name.startswith("/usr/lib")}
    asked = ["dpkg-query", "--search", *sorted(names | aliases)]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False)
    return {line.partition(": ")[0] for line in listed.stdout.splitlines() if not line.startswith("diversion ")}


def _debian(name: str) -> dict[str, Any]:
    fields = "${Package}\t${Version}\t${Architecture}"
    asked = ["dpkg-query", "--show", "--showformat", fields, name]
    package, version, architecture = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split(
        "\t"
    )
    purl = f"pkg:deb/debian/{package}@{version.replace('+', '%2B')}?arch={architecture}"
    return {"type": "library", "name": package, "version": version, "purl": purl, "bom-ref": purl}

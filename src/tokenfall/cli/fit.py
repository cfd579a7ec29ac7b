"""`tokenfall fit`: prints the timing of recorded streams and writes it as a timing profile."""

import sys
from argparse import Namespace

from tokenfall.recording.empirical import Empirical, encode
from tokenfall.recording.fitting import InsufficientData
from tokenfall.recording.fitting import fit as fitted
from tokenfall.recording.recordings import InvalidRecording, Recording
from tokenfall.settings import InvalidSetting
from tokenfall.simulator.profiles import FILE_ENDING

FAILURE = 1
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def fit(arguments: Namespace) -> int:
    """Print and write the profile; return the exit status. Raises `InvalidSetting` for an invalid argument."""
    if arguments.out is not None and not arguments.out.endswith(FILE_ENDING):
        raise InvalidSetting(f"--out: got {arguments.out!r}, takes a file that ends in {FILE_ENDING}")
    try:
        profile = fitted(Recording.load(arguments.recording))
        print(table(profile))
        if arguments.out is not None:
            with open(arguments.out, "wb") as file:
                file.write(encode(profile))
    except InvalidRecording as error:
        print(f"tokenfall: {error}", file=sys.stderr)
    except InsufficientData as error:
        print(f"tokenfall: {arguments.recording} cannot be fitted: {error}", file=sys.stderr)
    except OSError as error:
        print(f"tokenfall: {error.filename}: {error.strerror}", file=sys.stderr)
    else:
        if arguments.out is not None:
            print(f"written; use it as profile={arguments.out}")
        return 0
    return FAILURE


def table(profile: Empirical) -> str:
    """A table of the percentiles in milliseconds."""
    lines = ["ms" + " " * 6 + f"{'n':>8}" + "".join(f"{f'p{each}':>9}" for each in PERCENTILES)]
    for name, measured in (("ttft", profile.ttft), ("gap", profile.gap)):
        cells = "".join(f"{measured.at(each / 100) * 1000:9.1f}" for each in PERCENTILES)
        lines.append(f"{name:<8}{measured.count:>8}{cells}")
    return "\n".join(lines)

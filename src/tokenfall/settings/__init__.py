"""All settings: flags, environment variables, help and `docs/settings.md` are derived from the fields of `Settings`.

The field `rate_limit_rps` is the flag `--rate-limit-rps` and the environment variable `RATE_LIMIT_RPS`. Precedence:
flag, environment, `.env`, default. Only `bootstrap`, `cli` and `testing` read settings.
"""

from tokenfall.settings.fields import Settings
from tokenfall.settings.loading import InvalidSetting, load

__all__ = ["InvalidSetting", "Settings", "load"]

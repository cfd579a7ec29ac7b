import pytest

from tokenfall.bootstrap.startup_checks import warn_of_unavailable_redis
from tokenfall.errors import StoreUnavailable
from tokenfall.settings import load

LIMITS = "redis://limits.example"


async def responds() -> None:
    """A store that responds."""


async def fails() -> None:
    raise StoreUnavailable("no response")


async def warnings(caplog: pytest.LogCaptureFixture, **texts: str) -> list[str]:
    """The settings named in the warnings if the stores of the history and the limits fail, and the turns' does not."""
    settings = load({name.upper(): text for name, text in texts.items()})
    await warn_of_unavailable_redis(settings, {"history": fails, "limits": fails, "turns": responds})
    assert all(message.endswith("; /readyz lists the failing stores") for message in caplog.messages)
    return [message.partition(": this Redis does not respond")[0] for message in caplog.messages]


async def test_one_warning_names_the_setting_of_all_failed_stores(caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, redis_url="redis://:secret@all.example") == ["REDIS_URL"]
    assert "secret" not in caplog.text


async def test_warnings_name_the_setting_of_each_failed_store(caplog: pytest.LogCaptureFixture) -> None:
    urls = {"redis_url": "redis://all.example", "limits_url": LIMITS}
    assert await warnings(caplog, **urls) == ["LIMITS_URL", "REDIS_URL"]


async def test_stores_outside_redis_are_not_checked(caplog: pytest.LogCaptureFixture) -> None:
    assert await warnings(caplog, history_url="sqlite:///chat.db", limits_url=LIMITS) == ["LIMITS_URL"]

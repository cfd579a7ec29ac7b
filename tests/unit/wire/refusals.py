"""Shared by the tests of requests."""

from collections.abc import Callable
from typing import ParamSpec

import pytest

from tokenfall.errors import InvalidRequest

P = ParamSpec("P")


def refusal(decode: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> tuple[str | None, str]:
    """The field and the message of the `InvalidRequest` that the call raises."""
    with pytest.raises(InvalidRequest) as caught:
        decode(*args, **kwargs)
    return caught.value.param, caught.value.message

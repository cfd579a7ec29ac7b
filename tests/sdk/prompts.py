"""Prompts, tools and response models of the tests."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MODEL = "llama-3.3-70b-versatile"
"""Has no `sim` prefix, so that a server with an upstream relays the request."""

QUESTION = "What falls?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
WEATHER = "What does get_weather say of Oslo?"
BOTH = "Ask get_weather and get_time of Oslo."
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, in base64."""


def user(text: str) -> Any:
    return {"role": "user", "content": text}


class Weather(BaseModel):
    """The weather of a place."""

    model_config = ConfigDict(extra="forbid", strict=True)

    city: str
    unit: Literal["celsius", "fahrenheit"]
    days: int = Field(ge=1, le=7)
    alerts: list[str]


class Time(BaseModel):
    """The time at a place."""

    model_config = ConfigDict(extra="forbid", strict=True)

    zone: str
    seconds: bool


FITS: dict[str, type[BaseModel]] = {"get_weather": Weather, "get_time": Time}
FUNCTIONS = [
    {"name": name, "description": model.__doc__, "parameters": model.model_json_schema()}
    for name, model in FITS.items()
]
TOOLS: Any = [{"type": "function", "function": function} for function in FUNCTIONS]
"""Tool definitions in the format of OpenAI, Groq and Ollama."""


def check_arguments(name: str, arguments: str) -> None:
    """Check that the arguments of a call are JSON that matches the tool's parameters."""
    FITS[name].model_validate_json(arguments)

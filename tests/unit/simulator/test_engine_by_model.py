import pytest

from tokenfall.messages import ChatRequest, Message
from tokenfall.simulator.engine_by_model import EngineByModel

from tests.doubles.engines import text_engine


@pytest.mark.parametrize(
    ("model", "simulated"),
    [
        ("sim", True),
        ("sim:gap=1ms", True),
        ("sim:", True),
        ("sim:seed=1", True),
        ("sim-large", False),
        ("asim", False),
        ("SIM", False),
        ("llama", False),
        ("", False),
    ],
)
async def test_model_name_selects_simulator_or_upstream(model: str, simulated: bool) -> None:
    simulator, upstream = text_engine("sim"), text_engine("up")
    request = ChatRequest(messages=(Message("user", "Hi"),), model=model, max_tokens=1)
    texts: list[str] = []
    await EngineByModel(simulated=simulator, upstream=upstream).reply(request, lambda delta: texts.append(delta.text))

    assert texts == ["sim" if simulated else "up"]
    assert (simulator.requests, upstream.requests) == (([request], []) if simulated else ([], [request]))

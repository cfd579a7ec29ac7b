import json

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.wire.ollama import models as ollama_models

NOW_S = 1_700_000_000.0
FILE = b'"size":5350212235,"digest":"507a9a8be3d145a86daa9644b28bf42a8dc0720d8baeabdf0406c393692bf082",'
DETAILS = (
    b'"details":{"parent_model":"","format":"gguf","family":"tokenfall","families":["tokenfall"],'
    b'"parameter_size":"8.0B","quantization_level":"Q4_K_M"}'
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"sim"}',
        b'{"name":"sim"}',
        b'{"model":"sim","name":"other","verbose":true}',
        b'{"model":"","name":"sim"}',
    ],
)
def test_show_accepts_model_or_name(body: bytes) -> None:
    assert ollama_models.decode_show(body) == "sim"


@pytest.mark.parametrize("body", [b"{}", b'{"model":"","name":null}'])
def test_show_without_a_model_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="model is required") as caught:
        ollama_models.decode_show(body)
    assert caught.value.param == "model"


def test_model_has_all_its_fields() -> None:
    assert ollama_models.show("sim", NOW_S) == (
        b'{"license":"MIT","modelfile":"FROM sim","parameters":"num_ctx                        131072",'
        b'"template":"{{ .System }} {{ .Prompt }} {{ .Response }}",' + DETAILS + b',"model_info":{'
        b'"general.architecture":"tokenfall","general.basename":"sim","general.parameter_count":8030261248,'
        b'"tokenfall.context_length":131072,"tokenfall.embedding_length":1536},'
        b'"capabilities":["completion","tools","vision","thinking"],"modified_at":"2023-11-14T22:13:20.000000Z"}'
    )


def test_model_list_has_all_models() -> None:
    assert ollama_models.tags(["sim"], NOW_S) == (
        b'{"models":[{"name":"sim","model":"sim","modified_at":"2023-11-14T22:13:20.000000Z",' + FILE + DETAILS + b"}]}"
    )


def test_loaded_models_have_all_fields() -> None:
    assert ollama_models.running(["sim"], NOW_S) == (
        b'{"models":[{"name":"sim","model":"sim",'
        + FILE
        + DETAILS
        + b',"expires_at":"2023-11-14T22:13:20.000000Z","size_vram":5350212235,"context_length":131072}]}'
    )


def test_models_keep_their_order_and_have_different_digests() -> None:
    models = json.loads(ollama_models.tags(["b", "a"], NOW_S))["models"]

    assert [model["name"] for model in models] == ["b", "a"]
    assert len({model["digest"] for model in models}) == len({model["size"] for model in models}) == 2
    assert {len(model["digest"]) for model in models} == {64}


def test_empty_list_of_models() -> None:
    assert ollama_models.tags([], NOW_S) == ollama_models.running([], NOW_S) == b'{"models":[]}'


def test_version_is_encoded() -> None:
    assert ollama_models.version("0.12.0") == b'{"version":"0.12.0"}'


def test_unknown_model_gives_an_error_body() -> None:
    assert ollama_models.no_such_model("x") == b'{"error":"model \'x\' not found"}'

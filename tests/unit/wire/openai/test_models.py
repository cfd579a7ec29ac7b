from tokenfall.wire.openai import models as openai_models


def test_model_list_keeps_the_order() -> None:
    assert openai_models.model_list(["sim", 'a"b'], 1_700_000_000.9) == (
        b'{"object":"list","data":['
        b'{"id":"sim","object":"model","created":1700000000,"owned_by":"tokenfall"},'
        b'{"id":"a\\"b","object":"model","created":1700000000,"owned_by":"tokenfall"}]}'
    )


def test_model_has_all_its_fields() -> None:
    assert openai_models.model("sim", 1.0) == b'{"id":"sim","object":"model","created":1,"owned_by":"tokenfall"}'


def test_unknown_model_gives_an_error_body() -> None:
    assert openai_models.no_such_model("nope") == (
        b'{"error":{"message":"The model \'nope\' does not exist","type":"invalid_request_error",'
        b'"param":"model","code":"model_not_found"}}'
    )
    assert len(openai_models.no_such_model("x" * 10_000)) < 400

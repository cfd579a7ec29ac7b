from tokenfall.wire.anthropic import models as anthropic_models

ONE = b'{"type":"model","id":"%b","display_name":"%b","created_at":"2023-11-14T22:13:20Z","lifecycle":"active"}'


def test_a_count() -> None:
    assert anthropic_models.count(14) == b'{"input_tokens":14}'


def test_a_model() -> None:
    assert anthropic_models.model("sim", 1_700_000_000.9) == ONE % (b"sim", b"sim")


def test_a_list_of_models() -> None:
    listed = anthropic_models.model_list(["a", "b"], 1_700_000_000)

    assert listed == b'{"data":[%b,%b],"has_more":false,"first_id":"a","last_id":"b"}' % (
        ONE % (b"a", b"a"),
        ONE % (b"b", b"b"),
    )


def test_an_empty_list_of_models() -> None:
    assert anthropic_models.model_list([], 0) == b'{"data":[],"has_more":false,"first_id":null,"last_id":null}'

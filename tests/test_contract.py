from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edgeaudio import contract as contracts
from edgeaudio.model import Model
from edgeaudio.packing import pack, unpack


def changed(model: Model, path: str, value: object) -> str:
    """The contract of `model` as JSON, with one field changed."""
    data = json.loads(contracts.to_json(model.contract))
    *parents, last = path.split(".")
    node = data
    for key in parents:
        node = node[int(key)] if key.isdecimal() else node[key]
    node[last] = value
    return json.dumps(data)


def test_round_trip(model: Model) -> None:
    assert contracts.contract_from_json(contracts.to_json(model.contract)) == model.contract
    bare = replace(model.contract, head=None, levels=None)
    assert contracts.contract_from_json(contracts.to_json(bare)) == bare


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 2, "schema version 2, this edgeaudio reads 1; update edgeaudio"),
        ("schema_version", 0, "schema version 0.*export the model anew"),
        ("schema_version", "1", "contract.schema_version must be an integer, not '1'"),
        ("schema_version", True, "must be an integer"),
        ("horizon", "5", "contract.horizon must be a number, not '5'"),
        ("horizon", None, "contract.horizon must be a number"),
        ("horizon", 0.5, r"contract.horizon is 0.5, outside 1.0..86400"),
        ("horizon", 1e9, r"contract.horizon is 1000000000.0, outside"),
        ("tolerance.embedding", 1.0, r"tolerance.embedding is 1.0, outside 0..0.1"),
        ("tolerance.likelihood", -1.0, r"tolerance.likelihood is -1.0, outside"),
        ("head.labels", ["good", "b\nad"], r"label 'b\\nad' can't be shown"),
        ("head.labels", ["good", "\ud800"], r"can't be shown"),
        ("extractor", [], "contract.extractor must be an object"),
        ("extractor.window", 16_000.5, "contract.extractor.window must be an integer"),
        ("extractor.window", -1, "contract.extractor.window is -1, outside"),
        ("extractor.hop", 0, "contract.extractor.hop is 0, outside"),
        ("extractor.sample_rate", 10**9, "sample_rate is 1000000000, outside"),
        ("extractor.tail", "keep", "must be one of 'drop', 'pad', not 'keep'"),
        ("head.labels", ["one"], "at least two labels"),
        ("head.labels", ["good", "Good"], "differ in case or spaces only"),
        ("head.labels", ["good", "INVALID"], "'INVALID' is reserved"),
        ("head.labels", ["good", " "], "a label is empty"),
        ("head.labels", "good", "contract.head.labels must be a list"),
        ("head.training.recordings", {"good": "20"}, r"recordings\['good'\] must be an integer"),
        ("golden", [], "contract.golden is empty"),
    ],
)
def test_what_is_wrong_is_named(model: Model, path: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contracts.contract_from_json(changed(model, path, value))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", "[]", '{"schema_version": 1}'])
def test_what_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="contract"):
        contracts.contract_from_json(text)


def test_unknown_fields_are_left_for_later_versions(model: Model) -> None:
    text = changed(model, "extractor.colour", "blue")
    assert contracts.contract_from_json(text) == model.contract


def test_missing_field_is_named(model: Model) -> None:
    data = json.loads(contracts.to_json(model.contract))
    del data["extractor"]["window"]
    with pytest.raises(ValueError, match=r"contract\.extractor\.window is missing"):
        contracts.contract_from_json(json.dumps(data))


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_arrays_come_back_exactly(dtype: str) -> None:
    array = np.random.default_rng(0).integers(-32768, 32767, 999).astype(dtype)
    assert np.array_equal(unpack(pack(array), dtype, 999), array)


def test_a_packed_bomb_is_not_inflated() -> None:
    bomb = pack(np.zeros(10**7, np.float32))
    assert len(bomb) < 10**5
    with pytest.raises(ValueError, match="holds 65 bytes, expected 64"):
        unpack(bomb, "float32", 16)
    with pytest.raises(ValueError, match="larger than any that is written"):
        unpack(bomb, "float32", 10**9)
    with pytest.raises(ValueError, match="is damaged"):
        unpack("no base64!", "float32", 16)

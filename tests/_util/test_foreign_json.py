"""JSON of others: what it says, and numbers that are meant to take long."""

import msgspec
import pytest

from icefloe._util.foreign_json import decode

MANY = 1000


class Patient:
    """A decoder for what is not slow."""

    def __init__(self, type: object) -> None:
        self.type = type

    def decode(self, data: bytes) -> object:
        raise AssertionError("this takes long")


class Readings(msgspec.Struct):
    values: list[float]
    name: str


@pytest.mark.parametrize("number", ["1e308", "-2.5E+307", "1e0023", "0.1e99"])
def test_many_slow_numbers_are_not_left_to_the_decoder(number: str) -> None:
    text = "[" + ",".join([number] * MANY) + "]"
    for type in (object, list[float]):
        patient = Patient(type)
        assert decode(text, patient) == [float(number)] * MANY  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["1", "1.5", "1e5", "1e22", "1e308", "-0.0"])
@pytest.mark.parametrize("count", [1, MANY])
def test_a_message_says_the_same_whichever_way_it_is_decoded(number: str, count: int) -> None:
    text = '{"name":"a\\u00e4","values":[' + ",".join([number] * count) + "]}"
    decoder = msgspec.json.Decoder(Readings)
    assert decode(text.encode(), decoder) == decoder.decode(text)


@pytest.mark.parametrize("end", ["1e400", "NaN", "-Infinity", '"x"', "[", "\xff"])
@pytest.mark.parametrize("count", [1, MANY])
def test_what_makes_no_sense_is_an_error_of_the_decoder(end: str, count: int) -> None:
    data = ('{"name":"","values":[' + "1e308," * count + end + "]}").encode("latin-1")
    with pytest.raises(msgspec.DecodeError):
        decode(data, msgspec.json.Decoder(Readings))

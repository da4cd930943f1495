"""streamlit-webrtc's code, unchanged, with icefloe in the place of aiortc's connection."""

from tests.drop_in.program import results_of


async def test_its_worker_sends_back_and_receives_in_its_threads() -> None:
    told = await results_of("streamlit_program")
    back, received = told["back"], told["received"]
    assert back["connection"].startswith("icefloe.")
    for numbers in (back["inverted"], received["numbers"]):
        assert len(set(numbers)) > 2 and numbers == sorted(numbers)
    assert back["ended"]
    assert back["state"] == received["state"] == "closed"
    assert told["left"] == []

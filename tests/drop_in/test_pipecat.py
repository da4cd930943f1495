"""pipecat's code, unchanged, with icefloe in the place of aiortc's connection."""

import json

from tests.drop_in.program import results_of


async def test_a_pipeline_talks_with_a_browser_and_gets_no_old_pictures() -> None:
    told = await results_of("pipecat_program")
    assert told["connection"].startswith("icefloe.")
    numbers = told["at_first"]
    assert numbers == sorted(numbers) and len(numbers) >= 10
    assert told["sent_back"] in numbers
    assert json.loads(told["echo"]) == {"echo": {"type": "hello", "text": "Grüße"}}
    # The reader was away for five seconds, and pipecat had the receiver stop.
    assert told["stopped"]
    afterwards = told["afterwards"]
    assert afterwards == sorted(afterwards)
    assert afterwards[0] > -0.1, "seconds from the reader's return until the picture was made"
    assert told["state"] == "closed"

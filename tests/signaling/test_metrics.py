"""The text that Prometheus reads."""

from icefloe.signaling.metrics import Metric, render


def test_metrics_are_written_in_the_text_format() -> None:
    assert render(
        [
            Metric("rooms", "gauge", "Rooms.", 2),
            Metric("messages_total", "counter", "Messages.", label="type", values={"b": 1, "a": 2}),
        ]
    ) == (
        "# HELP rooms Rooms.\n"
        "# TYPE rooms gauge\n"
        "rooms 2\n"
        "# HELP messages_total Messages.\n"
        "# TYPE messages_total counter\n"
        'messages_total{type="a"} 2\n'
        'messages_total{type="b"} 1\n'
    )


def test_large_counters_lose_no_digit() -> None:
    assert "n 123456789\n" in render([Metric("n", "counter", "N.", 123456789)])


def test_labels_are_escaped() -> None:
    text = render([Metric("n", "gauge", "N.", label="l", values={'a"\\\n': 1})])
    assert 'n{l="a\\"\\\\\\n"} 1' in text

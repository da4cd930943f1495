"""The limits of a server: one table, from which flags and environment variables are made."""

import asyncio
import dataclasses
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from icefloe._server_limits import FLAGS, SERVER_LIMITS
from icefloe._serving import configured
from icefloe.signaling import AddressLimits, Limits, ServerConfiguration
from tests.helpers.command import icefloe, run

PAGE = (Path(__file__).parents[1] / "docs" / "command.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(--[a-z-]+) (NUMBER|SECONDS)` \| ([\d.]+) \|", PAGE, re.MULTILINE)

OF_THE_COMMAND = {"shutdown_timeout"}
"""Limits that the command sets otherwise than the library: it ends within two seconds."""


def numbers_of(settings: Any, prefix: str = "") -> dict[str, float]:
    """Return the numbers of a class of settings and of those within it, by their paths."""
    found: dict[str, float] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= numbers_of(value, f"{prefix}{field.name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{field.name}"] = value
    return found


def test_every_number_of_the_configuration_is_in_the_table_with_its_default() -> None:
    table = {limit.field: limit.default for limit in SERVER_LIMITS}
    numbers = numbers_of(ServerConfiguration())
    assert table.keys() == numbers.keys()
    differ = {name for name, default in table.items() if numbers[name] != default}
    assert differ == OF_THE_COMMAND


def test_the_defaults_are_within_their_ranges_and_both_ends_can_be_configured() -> None:
    for limit in FLAGS:
        assert limit.least <= limit.default <= limit.most
        for value in (limit.least, limit.most):
            made = ServerConfiguration(**configured({limit.name: value}, by_address=True))
            unlimited = limit.may_be_off and value == 0
            assert limit.value_in(made) == (float("inf") if unlimited else value)


def test_limits_of_addresses_can_be_off_all_together() -> None:
    made = configured({"members": 3}, by_address=False)
    assert made["limits"] == Limits(members=3, address=AddressLimits.unlimited())


def test_the_page_has_each_flag_with_its_default() -> None:
    expected = {(limit.flag, limit.unit, f"{limit.default:g}") for limit in FLAGS}
    assert expected <= set(ROWS)


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_the_help_has_each_flag(command: str) -> None:
    code, out, _ = await run(command, "--help")
    assert code == 0
    for limit in FLAGS:
        assert re.search(rf"{limit.flag}\s", out), limit.flag


@pytest.mark.parametrize(
    ("arguments", "environment", "flag"),
    [
        (["--members", "0"], {}, "--members"),
        (["--connections", "many"], {}, "--connections"),
        (["--address-seats", "-1"], {}, "--address-seats"),
        (["--rate", "nan"], {}, "--rate"),
        (["--away-seconds", "inf"], {}, "--away-seconds"),
        (["--rooms", "9" * 400], {}, "--rooms"),
        ([], {"ICEFLOE_PING_TIMEOUT": "0"}, "--ping-timeout"),
        ([], {"ICEFLOE_ADDRESS_JOINS": "1.5"}, "--address-joins"),
    ],
)
async def test_a_value_that_cannot_be_is_explained(
    arguments: list[str], environment: dict[str, str], flag: str
) -> None:
    code, out, err = await run("serve", "--port", "0", *arguments, **environment)
    assert code == 2
    assert out == ""
    assert f"Invalid value for '{flag}'" in err


async def get(url: str, **headers: str) -> tuple[int, str]:
    def read() -> tuple[int, str]:
        request = urllib.request.Request(f"{url}metrics", headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    return await asyncio.to_thread(read)


async def test_flags_and_variables_are_in_force_and_in_the_metrics(tmp_path: Path) -> None:
    token = "t" * 20
    (tmp_path / "token").write_text(f"{token}\n")
    arguments = ("--members", "5", "--metrics-token-file", str(tmp_path / "token"))
    async with icefloe("serve", *arguments, ICEFLOE_ADDRESS_SEATS="0", ICEFLOE_RATE="7") as running:
        status, metrics = await get(running.url)
        assert status == 200
        for name, value in (("members", "5.0"), ("address_seats", "+Inf"), ("rate", "7.0")):
            assert f'icefloe_signaling_limit{{name="{name}"}} {value}\n' in metrics
        assert (await get(running.url, via="1.1 proxy"))[0] == 403
        assert (await get(running.url, via="1.1 proxy", authorization=f"Bearer {token}"))[0] == 200


async def test_a_token_for_the_metrics_that_can_be_guessed_is_refused() -> None:
    code, _, err = await run("serve", ICEFLOE_METRICS_TOKEN="short")
    assert code == 2
    assert "16 characters" in err
    assert "short" not in err

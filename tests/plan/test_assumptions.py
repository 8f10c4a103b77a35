"""The file that the user edits: what stands in it, what it may say, and how it is refused."""

from pathlib import Path

import pytest

from inhouse.core.errors import UsageError
from inhouse.plan.assumptions import ASSUMED, GIVEN, Assumptions, given, load_assumptions, shipped_text
from inhouse.report.figures import assumption_name
from inhouse.report.language import LANGUAGES, catalogue


def from_text(tmp_path: Path, text: str) -> Assumptions:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_assumptions(path)


def test_every_shipped_amount_has_a_unit_and_a_source(shipped):
    for key, one in shipped.amounts.items():
        assert one.unit, key
        assert one.source, key
        assert one.low <= one.likely <= one.high, key


def test_every_published_figure_has_a_date(shipped):
    undated = {key for key, one in shipped.amounts.items() if not one.assumed and not one.date}
    assert {key.split(".")[-1] for key in undated} <= {"gpus", "gpu_price"}  # how many cards a machine is meant to have
    assert not any(shipped.amounts[key].likely > 1 for key in undated)


def test_the_copied_file_says_the_same_as_the_shipped_one(tmp_path, shipped):
    assert from_text(tmp_path, shipped_text()) == shipped


def test_a_plain_number_takes_the_place_of_a_range(tmp_path, shipped):
    one = from_text(tmp_path, "[power]\nkrw_per_kwh = 150\n").amounts["power.krw_per_kwh"]
    assert (one.low, one.likely, one.high) == (150, 150, 150)
    assert (one.unit, one.source) == ("KRW/kWh", GIVEN)


def test_what_the_file_leaves_out_stays_as_shipped(tmp_path, shipped):
    mine = from_text(tmp_path, "[demand]\nusers = 7\n")
    assert {key: one for key, one in mine.amounts.items() if key != "demand.users"} == {
        key: one for key, one in shipped.amounts.items() if key != "demand.users"
    }


def test_units_and_sources_above_hold_for_the_entries_below(tmp_path):
    text = '[setup]\nunit = "days"\nsource = "our plan"\ndate = "2026-10"\nown = { low = 1, likely = 2, high = 3 }\n'
    one = from_text(tmp_path, text).amounts["setup.own"]
    assert (one.unit, one.source, one.date) == ("days", "our plan", "2026-10")


def test_a_price_may_be_in_the_other_currency(tmp_path):
    text = '[seats.chatgpt-business]\nprice_month = { likely = 29000, unit = "KRW/month", source = "an invoice" }\n'
    assert from_text(tmp_path, text).amounts["seats.chatgpt-business.price_month"].unit == "KRW/month"


def test_a_machine_of_ones_own_needs_all_that_machines_have(tmp_path):
    whole = """[compare]
own = "ours"
[hardware.ours]
gpus = 2
gpu_price = 3000
host_price = 4000
busy_w = 700
idle_w = 120
output_tokens_s = 900
"""
    assert from_text(tmp_path, whole).choice.own == "ours"
    with pytest.raises(UsageError, match=r"hardware.ours lacks idle_w"):
        from_text(tmp_path, whole.replace("idle_w = 120\n", ""))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[power]\npeu = 1.4\n", "power.peu is unknown"),
        ("[pwer]\npue = 1.4\n", "pwer.pue is unknown"),
        ("[power]\npue = { low = 1.5, likely = 1.4, high = 2 }\n", "low ≤ likely ≤ high"),
        ("[power]\npue = 0.9\n", "at least 1"),
        ("[power]\nkrw_per_kwh = -1\n", "must not be negative"),
        ("[power]\nkrw_per_kwh = true\n", "must be a number"),
        ("[power]\nkrw_per_kwh = nan\n", "must be a number"),
        ("[power]\nkrw_per_kwh = inf\n", "must be a number"),
        ('[power]\nkrw_per_kwh = "150"\n', "must be a number or a table"),
        ("[power]\nkrw_per_kwh = { low = 1, high = 3 }\n", "needs likely"),
        ("[power]\nkrw_per_kwh = { likely = 1, most = 3 }\n", "has most"),
        ('[power]\nkrw_per_kwh = { likely = 1, unit = "KRW/MWh" }\n', "counted in 'KRW/kWh'"),
        ("[maintenance]\nshare = 15\n", "is a share, 0 to 1"),
        ("[money]\nkrw_per_usd = 0\n", "must be over 0"),
        ("[machines]\nyears = 0\n", "must be over 0"),
        ("[machines]\nutilisation = 0\n", "must be over 0"),
        ("[demand]\ndays_per_year = 0\n", "must be over 0"),
        ("[demand]\nusers = 0\n", "must be over 0"),
        ("[demand]\nprompt_tokens = 0\n", "must be over 0"),
        ('[compare]\nown = "abacus"\n', "has no 'abacus'"),
        ('[compare]\ncountry = "fr"\n', "can be kr or us"),
        ('[compare]\napi = ["gpt-5"]\n', "has 'gpt-5'"),
        ('[compare]\napi = "openai:gpt-5"\n', "must be a list"),
        ('[compare]\nway = "own"\n', "compare has way"),
        ("compare = 3\n", "compare must be a table"),
        ("power = 3\n", "power is unknown"),
        ("[power\n", "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_reason(tmp_path, text: str, why: str):
    with pytest.raises(UsageError) as refused:
        from_text(tmp_path, text)
    assert why in str(refused.value)
    assert "mine.toml" in str(refused.value)


def test_a_misspelt_name_is_answered_with_the_right_one(tmp_path):
    with pytest.raises(UsageError, match=r"Did you mean power\.pue\?"):
        from_text(tmp_path, "[power]\npeu = 1.4\n")


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load_assumptions(tmp_path / "none.toml")


def test_a_given_number_is_checked_as_the_files_are(shipped):
    with pytest.raises(UsageError, match="at least 1"):
        given("power.pue", shipped.amounts["power.pue"], 0.5)
    assert given("power.pue", shipped.amounts["power.pue"], 1.2).source == GIVEN


def test_only_what_is_compared_counts_as_used(shipped):
    used = shipped.used()
    assert "hardware.l40s.gpu_price" in used
    assert "hardware.h100.gpu_price" not in used
    assert "roles.ml.us" not in used
    assert sum(one.source == ASSUMED for one in used.values()) > 0


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_assumption_has_a_name_in_both_languages(shipped, lang: str):
    for key, one in shipped.amounts.items():
        assert "assumption." not in assumption_name(key, lang), key
        assert f"unit.{one.unit}" in catalogue(lang) or one.unit in ("W", "GB"), one.unit

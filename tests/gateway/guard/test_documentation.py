"""What docs/guard.md says of the guard is what the guard has."""

import re
from pathlib import Path

from inhouse.gateway.guard.personal_data import PERSONAL_KINDS
from inhouse.gateway.guard.policy import default_policy_text, parse_policy

ROOT = Path(__file__).parents[3]


def test_the_manual_names_every_kind_of_personal_data():
    manual = (ROOT / "docs/guard.md").read_text(encoding="utf-8")
    assert {kind for kind in PERSONAL_KINDS if f"`{kind}`" not in manual} == set()


def test_the_policy_file_names_every_kind_and_its_examples_can_be_used():
    text = default_policy_text()
    assert {kind for kind in PERSONAL_KINDS if kind not in text} == set()
    examples = re.sub(r"(?m)^# (?=\[|name|words|patterns|action|\w+_threshold)", "", text)
    policy = parse_policy(examples, "the examples")
    assert policy.denied
    assert policy.allowed is not None
    assert policy.user_threshold == 0.5

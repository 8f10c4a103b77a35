"""The words of reports in each language; `message.py` fills findings in, the views look up their own words here.

Knows no message by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from inhouse.core.errors import UsageError
from inhouse.core.language import LANGUAGES as LANGUAGES
from inhouse.core.language import moment as moment
from inhouse.core.language import number as number
from inhouse.core.language import read_catalogue


def choose_language(asked: str | None, environ: Mapping[str, str]) -> str:
    """The language asked for, or the locale's where it is one of ours, or English.

    Raises:
        UsageError: where a language was asked for that has no catalogue.
    """
    if asked is not None:
        if asked not in LANGUAGES:
            raise UsageError(f"There is no report in the language {asked!r}", do=f"Use one of: {', '.join(LANGUAGES)}")
        return asked
    # The first that is set decides, as setlocale(3) does.
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "")
    return next((lang for lang in LANGUAGES if locale.lower().startswith(lang)), "en")


def catalogue(lang: str) -> Mapping[str, str]:
    """Message id to text in that language."""
    return read_catalogue("inhouse.report", lang)


def word(lang: str, key: str, default: str | None = None) -> str:
    """The text under `key`; `default` (or the key itself) where the catalogue has none."""
    return catalogue(lang).get(key) or (key if default is None else default)

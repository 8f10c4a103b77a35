"""The check digits of numbers that identify people and businesses; each takes digits only (an IBAN: letters too).

Sources: the Korean resident and business registration rules, ISO/IEC 7812 (Luhn), ISO 13616 (IBAN), the
American Bankers Association's routing number, the Social Security Administration's rules for SSNs.
"""

from __future__ import annotations

from datetime import date

_RESIDENT_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_BUSINESS_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3)
_CENTURY = {
    "9": 1800,
    "0": 1800,
    "1": 1900,
    "2": 1900,
    "5": 1900,
    "6": 1900,
    "3": 2000,
    "4": 2000,
    "7": 2000,
    "8": 2000,
}
_CHECKLESS_FROM = date(2020, 10, 1)  # newborns' numbers carry random digits since then

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def resident_birth(digits: str) -> date | None:
    """The birth date that a 13-digit Korean resident or foreigner number begins with; None where there is none."""
    century = _CENTURY.get(digits[6])
    if century is None:
        return None
    try:
        return date(century + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return None


def resident_is_foreign(digits: str) -> bool:
    """Whether the seventh digit is a foreigner's (5 to 8)."""
    return digits[6] in "5678"


def resident_checks(digits: str) -> bool:
    """Whether the last digit is the check digit: 11 − Σ mod 11 for citizens, 13 − Σ mod 11 for foreigners."""
    total = sum(weight * int(digit) for weight, digit in zip(_RESIDENT_WEIGHTS, digits, strict=False))
    base = 13 if resident_is_foreign(digits) else 11
    return (base - total % 11) % 10 == int(digits[12])


def resident_is_checkless(digits: str) -> bool:
    """Whether the number is of someone born since October 2020, whose numbers carry no check digit."""
    born = resident_birth(digits)
    return born is not None and born >= _CHECKLESS_FROM


def business_checks(digits: str) -> bool:
    """Whether a 10-digit Korean business registration number carries its check digit."""
    total = sum(weight * int(digit) for weight, digit in zip(_BUSINESS_WEIGHTS, digits, strict=False))
    ninth = int(digits[8]) * 5
    return (10 - (total + ninth // 10 + ninth % 10) % 10) % 10 == int(digits[9])


def luhn_checks(digits: str) -> bool:
    """Whether the digits pass the Luhn test of payment cards."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if index % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def card_issuer_fits(digits: str) -> bool:
    """Whether prefix and length are those of an issuer: Visa, Mastercard, Amex, Diners, Discover, JCB, UnionPay,
    Maestro, and the Korean domestic ranges (9…).
    """
    length, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two in (36, 38, 39) or 300 <= three <= 305 or three == 309:
        return 14 <= length <= 19
    if two == 35:
        return 16 <= length <= 19
    if four in (2131, 1800):
        return length == 15
    if four == 6011 or two in (62, 64, 65, 60, 81):
        return 16 <= length <= 19
    if digits[0] == "9":
        return length == 16
    return two in (50, 56, 57, 58, 59, 61, 63, 66, 67, 68, 69) and 12 <= length <= 19


def iban_checks(iban: str) -> bool:
    """Whether an IBAN (upper case, no spaces) has its country's length and the remainder 1 modulo 97."""
    if IBAN_LENGTHS.get(iban[:2]) != len(iban):
        return False
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def routing_checks(digits: str) -> bool:
    """Whether nine digits are a US bank's routing number: known district, weights 3, 7, 1."""
    district = int(digits[:2])
    if not (district <= 12 or 21 <= district <= 32 or 61 <= district <= 72 or district == 80):
        return False
    return sum(weight * int(digit) for weight, digit in zip((3, 7, 1) * 3, digits, strict=True)) % 10 == 0


def ssn_fits(digits: str) -> bool:
    """Whether nine digits can be a US Social Security number: no area 000, 666 or 900 up, no zero parts."""
    area = int(digits[:3])
    return area not in (0, 666) and area < 900 and digits[3:5] != "00" and digits[5:] != "0000"

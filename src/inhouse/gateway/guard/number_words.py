"""The words near a number that say what it is, in lower case; and what a number is not. Only patterns, no logic."""

from __future__ import annotations

import re

RESIDENT_WORDS = re.compile(
    r"주민|외국인\s?등록|등록\s?번호|민번|생년월일|주번|resident|rrn|alien|foreigner|registration"
)
PHONE_WORDS = re.compile(
    r"전화|연락처|휴대폰|핸드폰|휴대|핸폰|폰\s?번호|팩스|연락|문자|☎|📞|📱|\b(?:tele)?phone|\btel\b|"
    r"\bmobile|\bcell\b|"
    r"\bcall|\bcontact|\bfax|\bwhatsapp|\bdial|\btext(?:ed)? me|\breach (?:me|him|her|us)|\bsms\b|\bring me|"
    r"\banswering at|\bmessages? to|\bregistered |\bhp\b|\bm\.p"
)
PHONE_AFTER = re.compile(r"[ \-(,]{0,2}(?:office|fax|mobile|cell|home|work|phone)\b")
CARD_WORDS = re.compile(r"카드|결제|card|\bcc\b|credit|debit|visa|master|amex|payment|paid with|charge")
BANKS = re.compile(
    r"계좌|통장|예금|입금|송금|은행|뱅크|농협|새마을금고|우체국|수협|신협|저축|\bibk\b|\bnh\b|\bkdb\b|account|acct|\ba/c|deposit"
)
# Names of banks that are ordinary words too: right before the number only.
BANK_BEFORE = re.compile(
    r"(?:국민|신한|우리|하나|기업|카카오|토스|케이|산업|제일|씨티|대구|부산|광주|전북|경남|제주|im|kb)[ :)\]]{0,3}$"
)
CODE_BEFORE = re.compile(r"[A-Za-z][\-_/]?$")
ACCOUNT_LABEL = re.compile(r"(?:계좌|account|acct|a/c)[^0-9\n]{0,24}$")
BUSINESS_WORDS = re.compile(r"사업자|등록\s?번호|business (?:registration|reg)|\bbrn\b")
LICENCE_WORDS = re.compile(r"면허|licen[cs]e|driv")
SSN_WORDS = re.compile(r"\bssn\b|social security|\bsoc\.? sec")
ROUTING_WORDS = re.compile(r"\brouting|\baba\b|\brtn\b|\btransit")
BIRTH_WORDS = re.compile(r"생년월일|생일|출생|태어|생\b|\bborn\b|birth|\bdob\b|\bd\.o\.b")
VERSION = re.compile(r"(?:버전|ver(?:sion)?\.?|release|build|v)[ :]{0,2}$", re.IGNORECASE)
BIRTH_HINTS = ("생", "출생", "태어", "born", "birth", "dob", "d.o.b")
NOT_A_PHONE = re.compile(
    r"(?:주문|품의서?|기안|공문|모델명?|접수|송장|운송장|예약|계약|문서|사건|관리|제품|모델|시리얼|일련|티켓|결재|회원|사번|order|invoice|"
    r"tracking|ticket|case|serial|"
    r"reference|ref|part|model|version|build|id|sku|isbn|issn|doi)\s?(?:번호|no|number|num|#)?\.?\s?(?:는|은|"
    r"is)?\s?[:=#]?\s?$"
)
LICENCE_REGIONS = frozenset(f"{code:02}" for code in (*range(11, 27), 28))

"""Writes Korean company documents with personal data in known places, and others without: for guard_quality.py.

Two sets of forms: A was looked at while the detectors were written, B never was. All persons are made up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Span = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Document:
    """A text and the personal data in it (kind, start, end)."""

    text: str
    spans: tuple[Span, ...]


SURNAMES = "김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하"
GIVEN = "민수 서연 지훈 예은 도윤 하준 지우 서준 수빈 현우 지민 은지 영희 철수 미경 정호 상현 유진 다은 태형 소영 재현 혜진 동욱 보라 나연 성민 경희 준호 시우".split()
ROADS = "테헤란로 세종대로 판교역로 강남대로 중앙로 백범로 동백중앙로 월드컵북로 해운대해변로 첨단과기로 가산디지털1로 봉은사로 둔산대로".split()
REGIONS = (
    "서울특별시 강남구", "서울 마포구", "부산광역시 해운대구", "경기도 성남시 분당구", "경기 수원시 영통구", "인천광역시 연수구", "대전 유성구",
    "광주광역시 북구", "강원특별자치도 춘천시", "충청남도 천안시 서북구", "전북특별자치도 전주시 완산구", "경상남도 창원시 성산구", "제주특별자치도 제주시",
)  # fmt: skip
DISTRICTS = "역삼동 서교동 우동 삼평동 매탄동 송도동 봉명동 용봉동 효자동 불당동 중화산동 상남동 연동".split()
BANKS = (
    ("국민은행", "######-##-######"), ("신한은행", "###-###-######"), ("우리은행", "####-###-######"), ("하나은행", "###-######-#####"),
    ("농협", "###-####-####-##"), ("카카오뱅크", "3333-##-#######"), ("기업은행", "###-######-##-###"), ("토스뱅크", "1000-####-####"), ("새마을금고", "9002-####-####-#"),
)  # fmt: skip
MAILS = ("naver.com", "gmail.com", "daum.net", "hanmail.net", "kakao.com", "corp-abc.co.kr", "outlook.kr", "snu.ac.kr")


class Person:
    """Made-up values of every kind, valid by their rules."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def name(self) -> str:
        """Family and given name."""
        return self._dice.choice(SURNAMES) + self._dice.choice(GIVEN)

    def resident_number(self) -> str:
        """With a check digit."""
        return self._resident("1234")

    def foreigner_number(self) -> str:
        """With the foreigners' check digit."""
        return self._resident("5678")

    def _resident(self, sexes: str) -> str:
        sex = self._dice.choice(sexes)
        year = self._dice.randrange(0, 20) if sex in "3478" else self._dice.randrange(40, 100)
        digits = f"{year:02}{self._dice.randrange(1, 13):02}{self._dice.randrange(1, 29):02}{sex}{self._dice.randrange(10**5):05}"
        total = sum(
            weight * int(digit) for weight, digit in zip((2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), digits, strict=True)
        )
        check = ((13 if sex in "5678" else 11) - total % 11) % 10
        return f"{digits[:6]}{self._dice.choice(('-', '-', '-', ' ', ''))}{digits[6:]}{check}"

    def phone(self) -> str:
        """Mobile mostly; landlines and +82 too."""
        a, b = f"{self._dice.randrange(2000, 9999)}", f"{self._dice.randrange(10**4):04}"
        local = f"{self._dice.randrange(200, 999)}"
        return self._dice.choice(
            (f"010-{a}-{b}", f"010-{a}-{b}", f"010{a}{b}", f"010 {a} {b}", f"010.{a}.{b}", f"+82-10-{a}-{b}", f"+82 10 {a} {b}",
             f"02-{local}-{b}", f"02-{a}-{b}", f"031-{local}-{b}", f"051){local}-{b}", f"070-{a}-{b}", f"011-{local}-{b}")
        )  # fmt: skip

    def email(self) -> str:
        """At a Korean mail service or a company."""
        left = self._dice.choice(("minsu.kim", "jh_park", "sy2024", "hello.lee", "dev-choi", "k.yoon99", "yuna"))
        return f"{left}{self._dice.randrange(100)}@{self._dice.choice(MAILS)}"

    def card(self) -> str:
        """With an issuer's range and the Luhn digit."""
        head = self._dice.choice(("4", "51", "55", "35", "9410", "6210"))
        digits = head + "".join(str(self._dice.randrange(10)) for _ in range(15 - len(head)))
        total = sum(sum(divmod(int(d) * 2, 10)) if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits)))
        digits += str(-total % 10)
        mark = self._dice.choice(("-", "-", " ", ""))
        return mark.join(digits[i : i + 4] for i in range(0, 16, 4))

    def account(self) -> tuple[str, str]:
        """A bank and a number in its form."""
        bank, form = self._dice.choice(BANKS)
        return bank, "".join(str(self._dice.randrange(10)) if mark == "#" else mark for mark in form)

    def passport(self) -> str:
        """The old form, or the one since 2021."""
        old = f"M{self._dice.randrange(10**8):08}"
        return self._dice.choice(
            (old, f"M{self._dice.randrange(1000):03}{self._dice.choice('ABCDEFGH')}{self._dice.randrange(10**4):04}")
        )

    def driver_licence(self) -> str:
        """2-2-6-2 with a region's code."""
        return f"{self._dice.randrange(11, 27)}-{self._dice.randrange(85, 99)}-{self._dice.randrange(10**6):06}-{self._dice.randrange(100):02}"

    def business_number(self) -> str:
        """With its check digit."""
        digits = f"{self._dice.randrange(101, 900)}{self._dice.randrange(1, 99):02}{self._dice.randrange(10**4):04}"
        total = sum(w * int(d) for w, d in zip((1, 3, 7, 1, 3, 7, 1, 3), digits, strict=False))
        ninth = int(digits[8]) * 5
        return f"{digits[:3]}-{digits[3:5]}-{digits[5:]}{(10 - (total + ninth // 10 + ninth % 10) % 10) % 10}"

    def address(self) -> str:
        """By road or by lot, often with a flat."""
        region, number = self._dice.choice(REGIONS), self._dice.randrange(1, 400)
        flat = f"{self._dice.randrange(101, 120)}동 {self._dice.randrange(1, 25)}0{self._dice.randrange(1, 5)}호"
        return self._dice.choice(
            (f"{region} {self._dice.choice(ROADS)} {number}", f"{region} {self._dice.choice(ROADS)} {number}, {flat}",
             f"{region} {self._dice.choice(ROADS)}{self._dice.randrange(2, 40)}길 {number}", f"{region} {self._dice.choice(DISTRICTS)} {number}-{self._dice.randrange(1, 40)}",
             f"{region} {self._dice.choice(DISTRICTS)} {number}번지", f"{region} {self._dice.choice(ROADS)} {number} {self._dice.randrange(1, 20)}층")
        )  # fmt: skip

    def birth_date(self) -> str:
        """In one of the usual forms."""
        year, month, day = self._dice.randrange(1945, 2010), self._dice.randrange(1, 13), self._dice.randrange(1, 29)
        return self._dice.choice(
            (f"{year}년 {month}월 {day}일", f"{year}-{month:02}-{day:02}", f"{year}.{month:02}.{day:02}")
        )


# Each field in braces is a kind; {bank} is followed by its {account}. Lines without braces are plain text.
FORMS_A = (
    "안녕하세요. 주문한 상품이 아직 오지 않았습니다.\n성함: {name}\n연락처: {phone}\n주소: {address}\n빠른 확인 부탁드립니다.",
    "[인사카드]\n성명: {name}\n주민등록번호: {resident_number}\n휴대폰: {phone}\n이메일: {email}\n급여계좌: {bank} {account}\n입사일: 2021-03-02",
    "환불 계좌는 {bank} {account} (예금주 {name})입니다. 주문번호는 20240112-00231입니다.",
    "외국인 직원 등록 안내\n외국인등록번호 {foreigner_number}, 여권번호 {passport}, 연락처 {phone}",
    "법인 거래처 등록: 사업자등록번호 {business_number}, 대표자 {name}, 담당자 이메일 {email}, 팩스 {phone}",
    "렌터카 예약자 정보 - 면허번호 {driver_licence}, 생년월일 {birth_date}, 휴대전화 {phone}",
    "카드 결제 오류 문의드립니다. 카드번호 {card} 로 결제했는데 승인이 안 됩니다. {phone}로 연락 주세요.",
    "{name}님, 안녕하세요. 상담 내용 요약해 드립니다. 회신은 {email}로 보내 주세요.",
    "이름,전화번호,이메일,주소\n{name},{phone},{email},{address}\n",
    '{"customer": "{name}", "phone": "{phone}", "email": "{email}", "address": "{address}"}',
)
FORMS_B = (
    "보험금 청구서\n피보험자: {name} ({resident_number})\n지급 계좌: {bank} {account}\n사고 경위: 2024년 5월 3일 14시경 주차장에서 접촉 사고가 있었음.\n연락처 {phone}",
    "안녕하세요, 저는 {name}이라고 합니다. 지난주에 면접을 본 지원자인데 결과를 {email}로 받을 수 있을까요? 급하면 {phone}으로 전화 주셔도 됩니다.",
    "임대차 계약서\n임차인 성명 {name}, 주민등록번호 {resident_number}, 주소 {address}\n보증금 3,000만원, 월세 55만원은 매월 5일 {bank} 계좌 {account}로 입금한다.",
    "회의록: 참석자 박 팀장 외 3명. 신규 거래처(사업자번호 {business_number}) 계약 건 논의. 담당자 {name} 과장({phone}, {email}).",
    "여행자 명단\n1. {name} / {passport} / {birth_date}생 / {phone}",
    "택배 접수: 받는 분 {name}, {phone}, {address}. 문 앞에 놓아 주세요.",
    "출입 신청\n소속: 협력사\n신청인: {name}\n생년월일: {birth_date}\n운전면허: {driver_licence}\n차량번호: 12가 3456",
    "고객 상담 로그 14:02 상담원: 본인 확인을 위해 주민번호 부탁드립니다. 14:03 고객: {resident_number}요. 14:03 상담원: 카드 뒷자리는요? 14:04 고객: 전체가 {card}예요.",
    "급여 이체 요청드립니다. 외국인등록번호 {foreigner_number}인 직원의 계좌가 {bank} {account}로 바뀌었습니다. 문의 {phone}",
    "| 성명 | 연락처 | 이메일 |\n|---|---|---|\n| {name} | {phone} | {email} |",
    "{name} 씨 앞으로 온 등기가 있습니다. 반송지는 {address} 입니다. 수령하지 못하시면 {phone} 로 연락 바랍니다.",
    '결제 실패 알림 {"card_no": "{card}", "holder_email": "{email}", "amount": 55000, "code": "E-1042"}',
)
CLEAN = (
    "2024년 1분기 매출은 전년 대비 12.5% 증가한 3,450억 원을 기록하였다. 영업이익은 210억 원이다.",
    "주문번호 20240315-0012345, 송장번호 6893-1234-5678, 수량 3개, 합계 128,000원. 배송은 2~3일 걸립니다.",
    "제12조(비밀유지) 직원은 재직 중은 물론 퇴직 후에도 업무상 알게 된 비밀을 누설하여서는 아니 된다.",
    "회의는 3층 대회의실에서 14:00에 시작합니다. 자료는 사내 포털의 '공지 > 2024 > 05'에 있습니다.",
    "서버 응답 시간은 p50 12.3 ms, p99 85.1 ms였고 버전은 v2.10.3, 빌드 20240502.1입니다. 로그 파일은 /var/log/app/2024-05-02.log 입니다.",
    "고객님, 안녕하세요. 문의하신 상품은 재입고 예정입니다. 고객센터 1588-0000(평일 09:00~18:00)으로 문의 바랍니다.",
    "연차 휴가는 1년에 15일이며 3년 이상 근속 시 2년마다 1일이 가산된다. 신청은 그룹웨어에서 한다.",
    "ISBN 979-11-6224-123-4, 정가 28,000원, 512쪽. 2판 3쇄 2023년 11월 15일.",
    "담당 부서: 총무팀, 처리 기한: 접수일로부터 7일 이내, 문서번호: 총무-2024-0153",
    "시험 성적은 평균 82.4점이며 1반 85.1, 2반 79.8, 3반 82.3이다. 응시자는 124명이었다.",
    "이 제품의 모델명은 KR-2023-55871이고 일련번호는 SN20230415887766입니다. 보증 기간은 24개월입니다.",
    "테헤란로 일대의 교통량은 하루 12만 대로 조사되었으며, 강남대로는 9만 8천 대였다.",
    "경로 3으로 이동한 뒤 2번 출구로 나오면 바로 앞에 있습니다. 도보로 5분 거리입니다.",
    "사용자님의 요청을 처리했습니다. 담당자가 확인 후 안내드리겠습니다. 이용해 주셔서 감사합니다.",
    "API 응답 예시: {\"id\": 1234567890, \"created\": 1714567890, \"total\": 98765, \"items\": [1, 2, 3]}",
    "신입 사원 교육은 5월 7일부터 5월 17일까지이며 대리 이상은 참석하지 않아도 됩니다. 이번 과정의 책임 교수는 추후 공지합니다.",
    "국가별 수출액: 미국 1,234,567천 달러, 중국 987,654천 달러, 일본 456,789천 달러 (2023-12-31 기준)",
    "계약 금액은 45,000,000원(부가세 별도)이며 2024.06.30까지 3회로 나누어 지급한다. 계좌는 별도로 안내한다.",
    "좌표는 37.5665, 126.9780이며 해발 38미터이다. 면적은 605.2제곱킬로미터이다.",
    "품의서 번호 2024-0417-003, 예산 코드 1100-20-3345, 집행률 67.2%, 잔액 1,250,400원",
)  # fmt: skip
_KINDS: tuple[str, ...] = (
    "name", "resident_number", "foreigner_number", "phone", "email", "card", "passport", "driver_licence", "business_number", "address", "birth_date",
)  # fmt: skip


def documents(forms: tuple[str, ...], count: int, seed: int, *, tricks: bool = False) -> list[Document]:
    """So many documents of these forms; with `tricks`, numbers are dressed up (full width, zero width, blanks)."""
    dice = random.Random(seed)
    return [_fill(dice.choice(forms), dice, _trick(dice) if tricks else str) for _ in range(count)]


def clean_documents(count: int, seed: int) -> list[Document]:
    """So many documents without personal data, of several paragraphs each."""
    dice = random.Random(seed)
    return [Document("\n\n".join(dice.sample(CLEAN, dice.randrange(2, 6))), ()) for _ in range(count)]


def _fill(form: str, dice: random.Random, dress: Callable[[str], str]) -> Document:
    person = Person(dice)
    text, spans, bank_account = "", [], person.account()
    while form:
        head, brace, rest = form.partition("{")
        text += head
        field, _, after = rest.partition("}")
        if not brace:
            break
        if field == "bank":
            text += bank_account[0]
        elif field == "account" or field in _KINDS:
            value = bank_account[1] if field == "account" else getattr(person, field)()
            value = (
                dress(value) if field in ("phone", "resident_number", "foreigner_number", "card", "account") else value
            )
            spans.append((field, len(text), len(text) + len(value)))
            text += value
        else:  # a brace of the text's own
            text += "{"
            form = rest
            continue
        form = after
    return Document(text, tuple(spans))


def _trick(dice: random.Random) -> Callable[[str], str]:
    wide = str.maketrans("0123456789-", "０１２３４５６７８９－")

    def dress(value: str) -> str:
        choice = dice.randrange(4)
        if choice == 0:
            return value.translate(wide)
        if choice == 1:
            return "\u200b".join(value)
        if choice == 2:
            return value.replace("-", "–")
        return value.replace("-", " - ")

    return dress

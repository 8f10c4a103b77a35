"""Personal data is found where it stands, in Korean and in English, and not where it does not."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.gateway.guard.personal_data import PERSONAL_KINDS, find_personal_data


def found(text: str) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find_personal_data(text)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("주민등록번호 900101-1234568", "resident_number", "900101-1234568"),
        ("번호는 9001011234568 입니다", "resident_number", "9001011234568"),
        ("아기 주민번호 210315-3123456", "resident_number", "210315-3123456"),  # no check digit since October 2020
        ("외국인등록번호 900101-5234567", "foreigner_number", "900101-5234567"),
        ("제 번호는 010-1234-5678이에요", "phone", "010-1234-5678"),
        ("01012345678로 전화", "phone", "01012345678"),
        ("사무실 02)345-6789", "phone", "02)345-6789"),
        ("+82 10-1234-5678", "phone", "+82 10-1234-5678"),
        ("공일공 일이삼사 오육칠팔", "phone", "공일공 일이삼사 오육칠팔"),
        ("카드 4111-1111-1111-1111", "card", "4111-1111-1111-1111"),
        ("국민은행 123456-01-123456", "account", "123456-01-123456"),
        ("계좌번호: 3333011234567", "account", "3333011234567"),
        ("여권번호 M12345678", "passport", "M12345678"),
        ("여권 M123A4567", "passport", "M123A4567"),
        ("면허번호는 11-23-123456-78", "driver_licence", "11-23-123456-78"),
        ("사업자등록번호 220-81-62517", "business_number", "220-81-62517"),
        ("메일은 gildong.hong@naver.com 입니다", "email", "gildong.hong@naver.com"),
        ("회신은 minsu.kim@example.co.kr로 부탁드립니다", "email", "minsu.kim@example.co.kr"),
        ("kim77@corp.internal is on leave", "email", "kim77@corp.internal"),  # a person, whatever the domain
        ("gildong (at) naver.com", "email", "gildong (at) naver.com"),
        ("서울특별시 강남구 테헤란로 123, 4층", "address", "서울특별시 강남구 테헤란로 123, 4층"),
        ("부산 해운대구 우동 1408번지", "address", "부산 해운대구 우동 1408번지"),
        ("성명: 김민수", "name", "김민수"),
        ("이서연님 안녕하세요", "name", "이서연"),
        ("생년월일 1990년 3월 5일", "birth_date", "1990년 3월 5일"),
        ("My SSN is 123-45-6789.", "ssn", "123-45-6789"),
        ("Call me at (415) 555-2671", "phone", "(415) 555-2671"),
        ("mobile: 07700 900123", "phone", "07700 900123"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("routing number 021000021", "routing_number", "021000021"),
        ("passport number 512345678", "passport", "512345678"),
        ("driver's license no. D1234567", "driver_licence", "D1234567"),
        ("I live at 24 Clarke Avenue, Springfield, IL 62704", "address", "24 Clarke Avenue, Springfield, IL 62704"),
        ("My name is Alice Wong.", "name", "Alice Wong"),
        ("date of birth: March 3, 1990", "birth_date", "March 3, 1990"),
        ("NI number QQ123456C is wrong, AB123456C is right", "national_insurance", "AB123456C"),
        ("from 8.8.8.8 at noon", "ip_address", "8.8.8.8"),
    ],
)
def test_each_kind_is_found_at_its_place(text, kind, value):
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "주문번호 230115-1234567 확인",  # no check digit, nothing says it is a person's
        "카드 4111-1111-1111-1112",  # Luhn
        "사업자등록번호 220-81-62518",  # check digit
        "고객센터 1588-0000",
        "버전 1.2.10.3, 빌드 20240502",
        "서버로 3개를 옮기고 회의실로 이동, 경로 2",
        "고객님, 이용자님, 담당자님 안녕하세요",
        "결재 문서 2024-0153, 총 1,234,567원",
        "write to johndoe@example.com or root@localhost",  # set aside for examples
        "User(email='kim@example.com'), hr@example.com, no-reply@example.com",
        "listen on 127.0.0.1, 10.0.0.8 and 0.0.0.0",
        "SSN-like 000-12-3456, 666-12-3456, 900-12-3456",
        "The Dean, Dear Customer, Hello World",
        "가나다라 공일공일 영화 이십 구칠",
        "900101-1****** 처럼 가린 번호",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("번호 ０１０－１２３４－５６７８ 끝", "０１０－１２３４－５６７８"),
        ("번호 0\u200b1\u200b0-1\u200b234-5678 끝", "0\u200b1\u200b0-1\u200b234-5678"),
        ("번호 010–1234–5678 끝", "010–1234–5678"),
        ("번호 𝟎𝟏𝟎-1234-5678 끝", "𝟎𝟏𝟎-1234-5678"),
        ("번호 0 1 0 1 2 3 4 5 6 7 8 끝", "0 1 0 1 2 3 4 5 6 7 8"),
    ],
)
def test_dressed_up_digits_are_found_at_the_place_of_the_text_as_it_came(text, shown):
    assert ("phone", shown) in found(text)


def test_decomposed_korean_is_read_like_composed_korean():
    text = unicodedata.normalize("NFD", "받는 분: 홍길동, 서울특별시 강남구 테헤란로 123")
    kinds = dict(found(text))
    assert unicodedata.normalize("NFC", kinds["name"]) == "홍길동"
    assert unicodedata.normalize("NFC", kinds["address"]) == "서울특별시 강남구 테헤란로 123"


def test_a_name_beside_a_number_is_a_name():
    assert found("명단\n김민수 010-2222-3333")[0] == ("name", "김민수")
    assert ("name", "김민수") not in found("김민수 전시회가 열린다")


def test_only_the_kinds_asked_for_are_looked_for():
    text = "성명: 김민수, 010-1234-5678, kim@naver.com"
    assert {span.kind for span in find_personal_data(text, {"email"})} == {"email"}


@given(st.text(alphabet=st.characters(codec="utf-16"), max_size=300))
@settings(max_examples=200, deadline=None)
def test_spans_are_in_order_apart_and_inside_the_text_whatever_it_is(text):
    end = 0
    for span in find_personal_data(text):
        assert end <= span.start < span.end <= len(text)
        assert span.kind in PERSONAL_KINDS
        end = span.end


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1-",
        "(1",
        "a@",
        "@a.",
        "로1",
        "010 ",
        "A1",
        "1 Aa ",
        "가나다 ",
        "이름: ",
        "가",
        "0:",
        " ",
        "Mr. ",
        "공일",
        "one ",
        "+1 ",
        "12-34-",
        "Apt. 1 ",
    ],
)
def test_time_grows_with_the_length_of_the_text_only(piece):
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        find_personal_data(text)
        return time.process_time() - began

    small = seconds(25_000)
    # Eight times the text; a square would take 64 times. The quickest of three, and room for a busy machine.
    assert min(seconds(200_000) for _ in range(3)) < max(0.6, small * 8 * 4)

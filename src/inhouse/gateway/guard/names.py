"""Finds people's names where something says that it is one: a label, a title, an honorific.

A name alone is not looked for: without a dictionary of everyone it would flag every document. Works on the
plain reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inhouse.gateway.guard.verdict import Span

_SURNAMES = (
    "김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하곽성차주우구민류나진지엄채원천방공현함변염여추도소석선설마길연위표명기반"
    "라왕금옥육인맹제모탁국어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상갈단견당화"
)
_DOUBLE = ("남궁", "황보", "제갈", "사공", "선우", "독고", "동방", "서문")
_COMMON = frozenset("김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하곽성차주우구민류나진지엄채원천방공현함변염여추도소석선설마길")
# Syllables that given names are made of (the commonest ones of the last hundred years).
_GIVEN = frozenset(
    "가강건겸경계고관광교구국권규균근금기길나남노누다단담대덕도동두라란래련렬령로루륜률름리린림마만말매명모목무문미민박반배백범병보복봉부비빈"
    "빛사산상새샘서석선설섭성세소솔송수숙순숭슬승시식신실심아안애양언엄연열염영예오옥온완용우욱운웅원월위유육윤율융은을음의이익인일임자잔장재"
    "전절정제조종주준중지직진찬창채천철청초추춘충치태택판평표필하학한해향헌혁현형혜호홍화환황회효후훈휘흔희힘"
)
_STOP = frozenset(
    "고객 고객사 이용자 이용객 사용자 신청자 지원자 구매자 소비자 전문가 관리자 담당자 책임자 이사장 조합원 조합장 이사회 주주님 여러분 신부님 하나님 주인님 공주님 왕자님 도련님"
    " 장모님 임금님 선생 선생님 고모님 이모님 사장님 사모님 원장님 기사님 조상님 성도님 사용하 정규직 최우수 한국인 공무원 전문직 우리나 연구원 안내원 경비원 상담원 지도교 조교수 부교수"
    " 정교수 전임 신입 신규 주요 공동 현직 지역 국가 기타 이번 전체 모든 강사 안전 서비스 주민 국민 시민 도민 가족 친구 어머님 아버님 할머님 장인 형님 누님 임원 직원 사원 정보 성명 성함"
    " 이름 연락처 주소 이메일 전화 번호 부서 직급 소속 기재 작성 미정 없음 본인 법인 대표 유의 주의 상세 입력 확인 한글 영문 필수 선택 예시 해당 표기 변경 도용 정정 공개 기입 명시 제출 이상 이하"
    " 양식 구분 전산 성별 나이 연령 인사 인사팀 총무 총무팀 기획 기획팀 영업 영업팀 개발 개발팀 홍보 홍보팀 지원 지원팀 운영 운영팀 고객센 고객센터 상담 상담사 안내 문의 문의처 배송 배송지 구매"
    " 제공 제휴 조회 주문 주문자 지급 진행 정산 정책 조건 조직 안녕 은행 은행명 계좌 강의 강남 강북 서초 송파 용산 성동 노원 마포 하나 국민은 신한 우리 기업 농협 수협".split()
)
_LABELS = (
    "이름|성명|성함|고객명|담당자명?|예금주|신청인|신청자|수령인|수령자|수취인|받는 ?사람|받는 ?분|보내는 ?사람|보내는 ?분|작성자|보호자|환자명|환자|대표자명?|계약자|피보험자|"
    "보험계약자|명의자|명의|입사자|직원명|사원명|회원명|의뢰인|임차인|임대인|매수인|매도인|동의자|참석자|보고자|결재자|발신인|수신인|신고자|피해자|민원인|가입자|주문자|예약자|학생명|학부모|"
    "지원자|면접자|근로자|고객님? ?성함|승객명|탑승객|소유자|채무자|채권자|연대보증인|배우자|세대주|부친|모친|제출자|확인자|책임자|관리자|상담원|고객"
)
_LABELLED = re.compile(rf"(?:{_LABELS})(?:은|는|이|가)?(?: ?[:=\-|)\]>] ?| {{1,3}}|\t)[\"'(]?([가-힣]{{2,5}})(?![가-힣]{{4}})")
_HONORIFIC = re.compile(
    r"([가-힣]{2,4}) ?(?:님|씨|고객님|귀하|선생님|대리|과장|차장|부장|주임|팀장|이사|상무|전무|교수|박사|간호사|사장|대표|실장|본부장|센터장|변호사|기자|매니저|책임|수석|선임|사원|군|양)(?![가-힣]{2})"
)
_WEAK = ("대표", "사원", "책임", "수석", "선임", "이사", "군", "양", "기자", "교수", "박사", "님", "사장", "팀장", "실장")
_SELF = re.compile(r"(?:저는|제 이름은|나는|내 이름은|제가|본인은|안녕하세요[,.]? ?(?:저는)?) ?(?:[가-힣]{2,10}의? )?([가-힣]{3,4})(?=(?:이?라고|입니다|이에요|예요|인데|이고|이며))")
_PARTICLE = re.compile(r"(?:이라고|라고|입니다|이며|이고|에게|한테|께서|으로|님|씨|은|는|이|가|을|를|의|와|과|께|도|로)$")
_BARE = re.compile(r"(?<![가-힣A-Za-z])([가-힣]{3})(?![가-힣])")

_WORD = r"[A-ZÀ-Þ][\w'’\-]{1,20}"
_FULL = rf"{_WORD}(?: (?:[A-Z]\.|{_WORD}|(?:de|van|von|der|den|la|al|bin)))" + r"{0,3}"
_TITLED = re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Madam|Mister|Captain)\.? ((?:[A-Z]\. )?{_FULL})")
_ENGLISH_LABELLED = re.compile(
    r"\b(?:(?:full |first |last |customer(?:'s)? |patient(?:'s)? |employee |account holder(?:'s)? |cardholder(?:'s)? |contact |client |applicant(?:'s)? |passenger |guest |given |family )?name|"
    r"patient|customer|employee|client|applicant|passenger|attn|attention|signed by|prepared by|contact person|recipient|sender|account holder|cardholder|beneficiary|guest|tenant|spouse|"
    rf"emergency contact|insured|student|candidate)(?:\s?[:=|]\s{{0,3}}|\s+is\s+)\"?((?:[A-Z]\. )?{_FULL})",
    re.IGNORECASE,
)
_ENGLISH_SELF = re.compile(
    rf"\b(?:my name is|my name's|name's|i am called|call me|this is|i'm|i am|dear|hi|hello|hey|regards,?|sincerely,?|thanks,?|cheers,?|best,?|from:?|to:?|cc:?)[ \n]{{1,2}}({_FULL})", re.IGNORECASE
)
_GREETED = re.compile(r"(?i:dear|hi|hello|hey|regards,?|sincerely,?|thanks,?|cheers,?|best,?|from:?|to:?|cc:?|this is|i'm|i am)[ \n]")
_NOT_A_NAME = frozenset(
    "The A An All Sir Madam Team Customer Customers Support Everyone Everybody Friend Friends Colleagues Hiring Manager There World New Not Your My Our This That It In On At For And Or "
    "Colleague User Users Client Guest Member Members Folks Guys Mom Dad Santa God Valued Sales Service Human Resources Please Thank Thanks Best Kind Warm Hello Hi Dear Monday Tuesday Wednesday "
    "Thursday Friday Saturday Sunday January February March April May June July August September October November December American English Korean Chinese Japanese French German What When Where Why "
    "How Who Can Could Would Should Will Do Does Is Are Was Were If Only None True False Null Yes No Email Phone Address Date Number Type Status Description Value".split()
)


def find_names(text: str) -> Iterator[Span]:
    """Every span that reads as a person's name with something to say so."""
    for match in _LABELLED.finditer(text):
        length = _korean_length(match[1], strict=False)
        if length:
            yield Span("name", match.start(1), match.start(1) + length, 0.8, "after a label")
    for match in _SELF.finditer(text):
        if _korean_length(match[1], strict=False) == len(match[1]):
            yield Span("name", *match.span(1), 0.75, "introduces themselves")
    for match in _HONORIFIC.finditer(text):
        yield from _before_honorific(text, match)
    if any("A" <= character <= "Z" for character in text):
        yield from _english(text)


def bare_names(text: str, start: int, end: int) -> Iterator[Span]:
    """Korean names that stand alone between two positions: only worth asking beside other personal data."""
    for match in _BARE.finditer(text, start, end):
        if _korean_length(match[1], strict=True) == 3:
            yield Span("name", *match.span(1), 0.6, "beside other personal data")


def _korean_length(word: str, *, strict: bool) -> int:
    """How many leading syllables of the word are a name; 0 for none."""
    for length in (len(word), 4, 3, 2):
        name = word[:length]
        if length > len(word) or length < 2 or (length < len(word) and not _PARTICLE.fullmatch(word[length:])):
            continue
        if _is_name(name, strict=strict):
            return length
    return 0


def _is_name(name: str, *, strict: bool) -> bool:
    if name in _STOP or name[:2] in _DOUBLE:
        return name[:2] in _DOUBLE and 3 <= len(name) <= 4
    if name[0] not in (_COMMON if strict else _SURNAMES) or len(name) > 4:
        return False
    given = name[1:]
    if len(given) == 3:
        return False
    return all(syllable in _GIVEN for syllable in given) if strict or len(given) == 2 else given in _GIVEN


def _before_honorific(text: str, match: re.Match[str]) -> Iterator[Span]:
    word, start = match[1], match.start(1)
    if start and "가" <= text[start - 1] <= "힣":
        return
    honorific = match[0][len(word) :].strip()
    if len(word) == 2 and honorific not in ("씨", "귀하", "고객님"):
        return
    if word.endswith(("자", "원", "사", "객", "관", "장")) and honorific in _WEAK and (word[1:] not in ("영자", "숙자", "정자", "순자", "미자", "경자")):
        return
    if word not in _STOP and _is_name(word, strict=True):
        yield Span("name", start, start + len(word), 0.75, "before an honorific or a title")


def _english(text: str) -> Iterator[Span]:
    for match in _TITLED.finditer(text):
        yield Span("name", *match.span(1), 0.8, "after a title")
    for pattern, rule in ((_ENGLISH_LABELLED, "after a label"), (_ENGLISH_SELF, "introduced or addressed")):
        for match in pattern.finditer(text):
            words = match[1].split()
            if not match[1][0].isupper() or words[0].rstrip(".,") in _NOT_A_NAME or not all(_reads_as_name(word) for word in words):
                continue
            if rule != "after a label" and _GREETED.match(match[0]) and len(words) < 2:
                continue
            yield Span("name", *match.span(1), 0.65, rule)


def _reads_as_name(word: str) -> bool:
    return word[0].isupper() or word in ("de", "van", "von", "der", "den", "la", "al", "bin")

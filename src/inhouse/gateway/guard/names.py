"""Finds people's names where something says that it is one: a label, a title, an honorific.

A name alone is not looked for: without a dictionary of everyone it would flag every document. Works on the
plain reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inhouse.gateway.guard.verdict import Span

_COMMON = frozenset("김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하곽성차주우구민류나진지엄채원천방공현함변염여추도소석선설마길")
_SURNAMES = _COMMON | frozenset("연위표명기반라왕금옥육인맹제모탁국어은편용예경봉사부가복태목형피두감음빈동온호범좌팽승간상갈단견당화")
_DOUBLE = ("남궁", "황보", "제갈", "사공", "선우", "독고", "동방", "서문")
# Syllables that given names are made of (the commonest ones of the last hundred years).
_GIVEN = frozenset(
    "가강건겸경계고관광교구국권규균근금기길나남노누다단담대덕도동두라란래련렬령로루륜률름리린림마만말매명모목무문미민박반배백범병보복봉부비빈"
    "빛사산상새샘서석선설섭성세소솔송수숙순숭슬승시식신실심아안애양언엄연열염영예오옥온완용우욱운웅원월위유육윤율융은을음의이익인일임자잔장재"
    "전절정제조종주준중지직진찬창채천철청초추춘충치태택판평표필하학한해향헌혁현형혜호홍화환황회효후훈휘흔희힘"
)
# Words that have the shape of a name.
_STOP = frozenset(
    "고객 고객사 이용자 이용객 사용자 신청자 지원자 구매자 소비자 전문가 관리자 책임자 이사장 조합원 조합장 이사회 선생 사용하 정규직 최우수 한국인 공무원 전문직 우리나 "
    "연구원 안내원 경비원 상담원 지도교 조교수 부교수 정교수 전임 신입 신규 주요 공동 현직 지역 국가 기타 이번 전체 모든 강사 안전 주민 국민 시민 도민 가족 친구 장인 임원 직원 사원 정보 성명 성함 "
    "이름 연락처 주소 번호 부서 직급 소속 기재 작성 미정 없음 본인 법인 대표 유의 주의 상세 입력 확인 한글 영문 필수 선택 예시 해당 표기 변경 도용 정정 공개 기입 명시 제출 이상 이하 양식 구분 "
    "전산 성별 나이 연령 인사 인사팀 총무 총무팀 기획 기획팀 영업 영업팀 홍보 지원 지원팀 운영 운영팀 고객센 상담 상담사 안내 문의 배송 구매 제공 제휴 조회 주문 주문자 지급 진행 정산 정책 조건 "
    "조직 안녕 은행 계좌 강의 강남 강북 서초 송파 용산 성동 노원 마포 하나 국민은 신한 우리 기업 농협 수협 조부모 남조선 신정부 반정부 방송국 사복 최종 모두 선수 상황 현상 편의 유인 고용 피해 "
    "구제 변경 황실 천황 남자 여자 상담을 정치권 가해자 주한미 한마음 이용 지급일 전화 전자 안전팀 신용 심사 이메일 기본 기준 전무 상무 부사장 부장님 이사님 사장님 장관 조합 공사 공단 진료 방문 "
    "방법 방식 문서 자료 한도 한정 소개 도입 도움 도착 현재 현황 현장 원본 원칙 원인 구성 구조 구현 지정 지원금 추가 추천 추후 정상 정식 정원 장소 장비 장기 명단 명의 표시 경우 경력 경로 제목 "
    "제한 제외 인원 인증 동의 동일 서명 서류 서식 서비스 신고 신분 신청 신청서 송금 배우자 노력 하자 성인 성적 차이 차량 주차 주말 주간 우선 우편 우대 구간 구매팀 민원 민간 나중 진단 진술 지점 지사 원하 천만 방침 공지 공유".split()
)
_STRONG_LABELS = "이름|성명|성함|고객명|담당자명?|예금주|신청인|수령인|수령자|수취인|받는 ?사람|받는 ?분|보내는 ?사람|보내는 ?분|작성자|환자명|대표자명?|계약자|피보험자|명의자|회원명|직원명|사원명|의뢰인|임차인|임대인|매수인|매도인|가입자|주문자|예약자|학생명|승객명|탑승객|세대주|보험계약자"
_WEAK_LABELS = "신청자|보호자|환자|명의|입사자|동의자|참석자|보고자|결재자|발신인|수신인|신고자|피해자|민원인|학부모|지원자|면접자|근로자|소유자|채무자|채권자|연대보증인|배우자|부친|모친|제출자|확인자|책임자|관리자|상담원|고객"
_LABELLED = re.compile(rf"(?:{_STRONG_LABELS}|{_WEAK_LABELS})(?:은|는|이|가)? ?[:=|)\]>\t\-][ \t]{{0,3}}[\"'(]?([가-힣]{{2,5}})(?![가-힣]{{4}})")
_SPACED = re.compile(rf"(?:{_STRONG_LABELS})(?:은|는|이|가)? {{1,2}}([가-힣]{{3,5}})(?![가-힣])")
_TITLES = "님|씨|귀하|고객|대리|과장|차장|부장|주임|팀장|매니저|실장|사원|선생님"
_HONORIFIC = re.compile(rf"(?:{_TITLES})(?![가-힣]{{3}})")
_BEFORE_TITLE = re.compile(r"(?<![가-힣])([가-힣]{2,4}) ?$")
_SELF = re.compile(r"(?:저는|제 이름은|나는|내 이름은|제가|본인은|안녕하세요[,.]? ?(?:저는)?) ?(?:[가-힣]{2,10}의? )?([가-힣]{3})(?=(?:이?라고 (?:합|해|하|불)|입니다|이에요|예요))")
_PARTICLE = re.compile(r"(?:이라고|라고|입니다|이며|이고|에게|한테|께서|으로|님|씨|은|는|이|가|을|를|의|와|과|께|도|로)$")
_BARE = re.compile(r"(?<![가-힣A-Za-z])([가-힣]{3})(?![가-힣])")

_WORD = r"[A-ZÀ-Þ][\w'’\-]{1,20}"
_FULL = rf"(?:[A-Z]\. )?{_WORD}(?: (?:[A-Z]\.|{_WORD}|(?:de|van|von|der|den|la|al|bin)(?= {_WORD}))){{0,3}}"
_PERSON = re.compile(_FULL)
_TITLED = re.compile(rf"(?:Mr|Mrs|Ms|Miss|Mx|Dr)\.? ({_FULL})")
_NAME_LABEL = re.compile(
    r"(?:(?:patient|customer|employee|client|applicant|passenger|attn|attention|signed by|prepared by|contact person|recipient|sender|account holder|cardholder|"
    r"beneficiary|guest|tenant|spouse|emergency contact|insured|student|candidate)(?:'s)?(?: name)?|name(?:'s)?) ?(?::|is )[ \t]{0,3}\"?"
)
_NAMED_THINGS = re.compile(
    r"(?:product|company|store|file|user|brand|model|project|domain|host|team|event|class|function|variable|table|column|field|path|display|business|shop|app|"
    r"restaurant|hotel|group|organi[sz]ation|school|package|module|server|service|tool|screen|nick|code|the|its|this|that|whose|s) ?$"
)
_MY_NAME = re.compile(r"(?:my name is|my name's|i am called|call me) ")
_LETTER_END = re.compile(r"(?:regards|sincerely|cheers|best wishes|many thanks|best|thanks|yours truly),?[ ]?\n{1,2}[ \t]{0,8}")
_GREETING = re.compile(r"(?:dear|hi|hello) ")
_NOT_A_NAME = frozenset(
    "The A An All Sir Madam Team Customer Customers Support Everyone Everybody Friend Friends Colleagues Hiring Manager There World New Not Your My Our This That It In On At For And Or "
    "Colleague User Users Client Guest Member Members Folks Guys Mom Dad Santa God Valued Sales Service Human Resources Please Thank Thanks Best Kind Warm Hello Hi Dear Monday Tuesday Wednesday "
    "Thursday Friday Saturday Sunday January February March April May June July August September October November December American English Korean Chinese Japanese French German What When Where Why "
    "How Who Can Could Would Should Will Do Does Is Are Was Were If Only None True False Null Yes No Email Phone Address Date Number Type Status Description Value Siri Alexa Google ChatGPT Assistant".split()
)


def find_names(text: str, low: str) -> Iterator[Span]:
    """Every span that reads as a person's name with something to say so."""
    if not text.isascii():
        yield from _korean(text)
    if low != text:
        yield from _english(text, low)


def bare_names(text: str, start: int, end: int) -> Iterator[Span]:
    """Korean names that stand alone between two positions: only worth asking beside other personal data."""
    for match in _BARE.finditer(text, start, end):
        if _is_name(match[1], strict=True):
            yield Span("name", *match.span(1), 0.6, "beside other personal data")


def _korean(text: str) -> Iterator[Span]:
    for pattern, strict in ((_LABELLED, False), (_SPACED, True)):
        for match in pattern.finditer(text):
            length = _name_length(match[1], strict=strict)
            if length:
                yield Span("name", match.start(1), match.start(1) + length, 0.8, "after a label")
    for match in _SELF.finditer(text):
        if _is_name(match[1], strict=True):
            yield Span("name", *match.span(1), 0.75, "introduces themselves")
    for match in _HONORIFIC.finditer(text):
        word = _BEFORE_TITLE.search(text, max(0, match.start() - 6), match.start())
        if word is None or not _is_name(word[1], strict=True):
            continue
        if len(word[1]) == 2 and match[0] not in ("씨", "귀하", "고객"):
            continue
        if word[1].endswith("모") and len(word[1]) == 2:  # 김모 씨: already anonymous
            continue
        if word[1].endswith(("자", "원", "객", "관", "장")) and not word[1].endswith(("영자", "숙자", "순자", "미자", "경자", "정자", "지원", "시원", "예원", "채원", "혜원", "주원", "태원", "재원", "동원", "상원")):
            continue
        yield Span("name", *word.span(1), 0.75, "before an honorific or a title")


def _name_length(word: str, *, strict: bool) -> int:
    """How many leading syllables of the word are a name; 0 for none."""
    for length in dict.fromkeys((len(word), 4, 3, 2)):
        if length > len(word) or length < 2 or (strict and length == 2):
            continue
        if length < len(word) and not _PARTICLE.fullmatch(word[length:]):
            continue
        if _is_name(word[:length], strict=strict):
            return length
    return 0


def _is_name(name: str, *, strict: bool) -> bool:
    if name[:2] in _DOUBLE and 3 <= len(name) <= 4:
        return True
    if name in _STOP or name[:2] in _STOP or not 2 <= len(name) <= 3 or name[0] not in (_COMMON if strict else _SURNAMES):
        return False
    return all(syllable in _GIVEN for syllable in name[1:])


def _english(text: str, low: str) -> Iterator[Span]:
    for match in _TITLED.finditer(text):
        if not (match.start() and text[match.start() - 1].isalnum()) and _reads_as_name(match[1]):
            yield Span("name", *match.span(1), 0.8, "after a title")
    if "name" in low or ":" in low:
        for label in _NAME_LABEL.finditer(low):
            head = low[max(0, label.start() - 14) : label.start()]
            if (head and head[-1].isalnum()) or head.endswith("_") or (label[0].startswith("name") and _NAMED_THINGS.search(head)):
                continue
            yield from _person_at(text, label.end(), "after a label")
        for label in _MY_NAME.finditer(low):
            yield from _person_at(text, label.end(), "introduces themselves")
    for label in _LETTER_END.finditer(low):
        yield from _person_at(text, label.end(), "signs a letter")
    for label in _GREETING.finditer(low):
        for span in _person_at(text, label.end(), "is addressed"):
            if text[span.end : span.end + 1] in (",", ":", "\n", "!") and not (label.start() and low[label.start() - 1].isalnum()):
                yield span


def _person_at(text: str, start: int, rule: str) -> Iterator[Span]:
    match = _PERSON.match(text, start, start + 60)
    if match is not None and _reads_as_name(match[0]):
        yield Span("name", *match.span(), 0.65, rule)


def _reads_as_name(words: str) -> bool:
    first = words.split()[0].rstrip(".,")
    return first not in _NOT_A_NAME and not (first.isupper() and len(first) > 3)

"""How a model says best that the documents do not hold the answer: by a sentence, by a marker, or in JSON.

The same passages and questions, three ways of telling the model: `sentence` (write exactly this sentence, in Korean or
English), `marker` (write only [0], the number of no passage), `json` (an object with `found` and `answer`). Asked are
the questions of the study's manual without an answer, as many with one, and some in Japanese, Chinese, German and
French, which the sentence is not there for. The search's own refusal is off: the model alone decides. A form is the
better the more it refuses of the questions without an answer and the fewer of the others.

Answers are kept in the cache folder; --minutes ends a run early, which prints what it has, and the next goes on.

    python benchmarks/refusal_forms.py [--model NAME] [--each 10] [--minutes M]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

import inhouse.study
from inhouse.core.event_loop import run
from inhouse.core.settings import get_settings
from inhouse.docs.answer import is_refusal, passages_of
from inhouse.docs.citations import language_of
from inhouse.docs.embed import NanoEmbedder
from inhouse.docs.prompt import NOT_FOUND, fitting, messages
from inhouse.docs.questions import Question, read_questions
from inhouse.docs.search import Searcher
from inhouse.docs.sources import Source
from inhouse.docs.stores.open import open_store
from inhouse.docs.sync import sync
from inhouse.engines.base import ChatRequest, Engine, Message, TextEvent
from inhouse.models.opened import open_for

MANUAL = Path(inhouse.study.__file__).parent / "manual"
KEPT = user_cache_path("inhouse") / "benchmarks" / "refusals"
FORMS = ("sentence", "marker", "json")
K, WINDOW, MAX_TOKENS = 2, 2048, 32  # a refusal is said at once
_JSON = {
    "type": "object",
    "properties": {"found": {"type": "boolean"}, "answer": {"type": "string"}},
    "required": ["found", "answer"],
}
OTHERS = (
    ("ブラウザはCORSの応答をデフォルトで何秒間キャッシュできますか？", True),
    ("静的ファイルはどの関数でマウントしますか？", True),
    ("社員の年次有給休暇は年に何日ですか？", False),
    ("ソウルの本社の住所はどこですか？", False),
    ("Welchen Statuscode gibt eine Antwort, wenn etwas angelegt wurde?", True),
    ("Wie lange darf ein Browser eine CORS-Antwort ohne weitere Angabe zwischenspeichern?", True),
    ("Wie ändere ich mein Passwort für das Firmen-VPN?", False),
    ("Wie viel kostet eine FastAPI-Schulung?", False),
    ("后台任务在返回响应之前还是之后运行？", True),
    ("浏览器默认可以缓存CORS响应多少秒？", True),
    ("客户退款需要多少天处理？", False),
    ("后台任务失败后会重试几次？", False),
    ("Quel est le code de statut quand une ressource est créée ?", True),
    ("De quoi se compose une origine ?", True),
    ("Où se trouve le siège à Séoul ?", False),
    ("Combien d'heures les fichiers statiques sont-ils mis en cache par défaut ?", False),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-coder:0.5b")
    parser.add_argument("--each", type=int, default=10, help="questions with an answer and without, ko and en together")
    parser.add_argument("--minutes", type=float, help="end after so long and go on the next time")
    options = parser.parse_args()
    embedder = NanoEmbedder(threads=get_settings().threads)
    with closing(open_store("", "manual", data_dir=KEPT)) as store:
        sync(Source(MANUAL), store, embedder, lock=KEPT / "lock")
        until = None if options.minutes is None else time.perf_counter() + 60 * options.minutes
        return run(measure(Searcher(store, embedder), asked(options.each), options.model, until))


def asked(each: int) -> list[tuple[str, Question]]:
    """The questions with the name of their part: `ko and en`, or `other languages`."""
    found: list[tuple[str, Question]] = []
    for lang in ("ko", "en"):
        questions = read_questions(MANUAL / f"questions_{lang}.jsonl")
        for answerable in (False, True):
            part = [one for one in questions if one.answerable is answerable][: each // 2]
            found += [("ko and en", one) for one in part]
    found += [("other languages", Question(text, answerable=right)) for text, right in OTHERS]
    random.Random(0).shuffle(found)  # so that what a short run has asked is of all kinds
    return found


async def measure(
    searcher: Searcher, questions: Sequence[tuple[str, Question]], model: str, until: float | None
) -> int:
    """Asks what was not asked before and prints both shares of each form; 0, or 3 where it is not done."""
    file = KEPT / f"{model.replace(':', '-')}.jsonl"
    known = {}
    ended = False
    if file.exists():
        known = {(form, text): said for form, text, said in map(json.loads, file.read_text().splitlines())}
    async with open_for("embedded", model, context=WINDOW, slots=1) as opened:
        with file.open("a") as out:
            for _, question in questions:
                if all((form, question.question) in known for form in FORMS):
                    continue
                if until is not None and time.perf_counter() > until:
                    print(f"{len(known)} of {len(FORMS) * len(questions)} answers are there", file=sys.stderr)
                    ended = True
                    break
                request = await request_for(searcher, opened.engine, opened.model, question.question)
                for form in FORMS:
                    said = await answer(opened.engine, in_form(request, form, question.question))
                    known[form, question.question] = said
                    out.write(json.dumps([form, question.question, said], ensure_ascii=False) + "\n")
                    out.flush()
    for part in dict.fromkeys(part for part, _ in questions):
        mine = [q for name, q in questions if name == part and all((form, q.question) in known for form in FORMS)]
        for form in FORMS:
            refused = {q.question: is_refused(known[form, q.question], form) for q in mine}
            without = [refused[q.question] for q in mine if not q.answerable]
            having = [refused[q.question] for q in mine if q.answerable]
            print(
                f"{model} {part} {form}: refuses {sum(without)} of {len(without)} without an answer, "
                f"{sum(having)} of {len(having)} with one"
            )
    return 3 if ended else 0


async def request_for(searcher: Searcher, engine: Engine, model: str, question: str) -> ChatRequest:
    """The request that `docs ask` would make, whatever the search thinks of what it found."""
    lang = language_of(question)
    hits = await asyncio.to_thread(searcher.search, question, K)

    async def count(text: str) -> int:
        return await engine.count_tokens(model, text)

    kept = await fitting(question, question, passages_of(hits, searcher), lang, room=WINDOW - MAX_TOKENS, count=count)
    return ChatRequest(model, messages(question, question, kept, lang), max_tokens=MAX_TOKENS, temperature=0.0, seed=0)


def in_form(request: ChatRequest, form: str, question: str) -> ChatRequest:
    """The request with the rule for questions without an answer as the form has it."""
    sentence = NOT_FOUND[language_of(question)]
    system, user = request.messages
    rules = system.content.replace("[0]", sentence)  # whatever is in use, the sentence is where all forms start
    if form == "marker":
        rules = rules.replace(sentence, "[0]")
    if form == "json":
        rules = rules.replace(sentence, '{"found": false, "answer": ""}')
        rules += ' JSON: {"found": true, "answer": "…"}'
    messages_ = (Message("system", rules), user)
    return replace(request, messages=messages_, json_schema=_JSON if form == "json" else None)


async def answer(engine: Engine, request: ChatRequest) -> str:
    """The whole answer."""
    return "".join([event.text async for event in engine.chat(request) if isinstance(event, TextEvent)])


def is_refused(said: str, form: str) -> bool:
    """Whether an answer in that form says that the documents do not hold it."""
    if form == "json":
        found = re.search(r'"found"\s*:\s*(true|false)', said)
        return found is not None and found[1] == "false"
    return is_refusal(said) if form == "sentence" else "[0]" in said[:200]


if __name__ == "__main__":
    sys.exit(main())

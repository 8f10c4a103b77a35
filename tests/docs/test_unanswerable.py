"""Questions without an answer: made next to a passage, kept only where no passage looks like an answer."""

from __future__ import annotations

import json
import math
import time

import pytest
from asked_documents import SayingModel, make_collection
from sync_child import HashedWords

from inhouse.core.errors import UnsupportedFeature, UsageError
from inhouse.docs.questions import Question, read_questions, write_questions
from inhouse.docs.unanswerable import as_json, generate_unanswerable, noticed_from
from inhouse.engines.base import Capabilities, TextEvent, TokenLogprob

FILLER = "It was decided by the board and holds for all sites of the company. " * 2
FILES = {
    f"{name}.md": f"# {name}\n\nThe {name} opens at {at} o'clock every working day. {FILLER}"
    for at, name in enumerate(("canteen", "library", "garage", "pool"), 6)
}


class JudgingModel(SayingModel):
    """Also says yes or no to a passage, with the log-odds that `odds` gives the passage and the question."""

    capabilities = Capabilities(logprobs=True)

    def __init__(self, say, odds):
        super().__init__(say)
        self.odds = odds

    async def chat(self, request):
        if request.top_logprobs is None:
            async for event in super().chat(request):
                yield event
            return
        passage, _, question = request.messages[-1].content.partition("\n\nQuestion: ")
        yes = 1 / (1 + math.exp(-self.odds(passage, question)))
        top = (("yes", math.log(yes)), ("no", math.log(1 - yes)))
        yield TextEvent(time.perf_counter(), "yes", (TokenLogprob("yes", top[0][1], top),))


@pytest.fixture
def searcher(tmp_path):
    made = make_collection(tmp_path, HashedWords(), FILES)
    yield made
    made.store.close()


def _asks(questions):
    """Asks of the passage that it is shown what `questions` has for its subject."""

    def say(request):
        text = request.messages[-1].content
        name = next(name for name in questions if f"The {name} opens" in text)
        return json.dumps({"missing": "something", "question": questions[name]})

    return say


async def test_a_question_is_kept_only_where_no_passage_looks_like_its_answer(searcher, tmp_path):
    questions = {
        "canteen": "Who pays for the canteen of the company?",
        "library": "When does the library open every working day?",
        "garage": "Which law made this text about the garage necessary?",
        "pool": "Zebra quagga okapi?",
    }
    model = JudgingModel(_asks(questions), lambda passage, asked: 2.0 if "When does" in asked else -2.0)
    made = {
        one.question.question: one
        async for one in generate_unanswerable(searcher, model, "m", count=3, noticed=0.0, seed=0)
    }
    kept = [text for text, one in made.items() if not one.problem]
    assert questions["canteen"] in kept
    assert "may answer it" in made[questions["library"]].problem
    assert "points at the passage" in made[questions["garage"]].problem
    assert all(not one.question.answerable for one in made.values())
    near = made[questions["canteen"]].nearest
    assert [odds for _, odds in near] == sorted((odds for _, odds in near), reverse=True)

    file = tmp_path / "review.jsonl"
    write_questions(file, [as_json(one) for one in made.values()])
    assert [one.question for one in read_questions(file)] == kept
    row = next(row for row in map(json.loads, file.read_text().splitlines()) if row["question"] == questions["canteen"])
    assert row["nearest"][0]["log_odds"] == pytest.approx(-2.0, abs=0.01)
    assert row["nearest"][0]["text"]


async def test_the_check_is_held_to_what_the_model_says_of_known_pairs(searcher):
    stored = next(part for document in searcher.store.documents() for part in searcher.store.chunks_of(document.id))
    known = [(Question(f"question {at}", ("x",)), stored) for at in range(11)]
    model = JudgingModel(lambda request: "", lambda passage, asked: float(asked.split()[1].split("\n")[0]) - 5)
    assert await noticed_from(known, model, "m") == pytest.approx(-4.0, abs=0.01)  # a tenth lie below
    with pytest.raises(UsageError, match="10 are needed"):
        await noticed_from(known[:9], model, "m")
    with pytest.raises(UnsupportedFeature, match="log-probabilities"):
        await noticed_from(known, SayingModel(lambda request: ""), "m")


async def test_what_is_no_json_is_kept_apart(searcher):
    model = JudgingModel(lambda request: "I cannot", lambda passage, asked: -2.0)
    made = [one async for one in generate_unanswerable(searcher, model, "m", count=1, noticed=0.0, seed=0)]
    assert len(made) == 4
    assert made[0].problem.startswith("the model wrote no JSON")
    assert all(one.problem for one in made)

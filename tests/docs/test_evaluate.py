"""Question sets, the figures made of them, generated questions, and ways compared."""

from __future__ import annotations

import json
import math

import pytest
from asked_documents import HANDBOOK, SayingModel, make_collection

from inhouse.core.environment import read_environment
from inhouse.core.errors import UsageError
from inhouse.core.records import RunStatus
from inhouse.docs.answer import AnswerPlan
from inhouse.docs.chunk import ChunkPlan
from inhouse.docs.compare import compare, ranked
from inhouse.docs.compare_chart import chart
from inhouse.docs.evaluate import Scored, answer_all, keep, metrics_of, paired, plan_config, search_all
from inhouse.docs.generate import check, generate
from inhouse.docs.judging import judge_all, labelled, read_labels, trust, write_answers
from inhouse.docs.measures import exact, f1, faithfulness, holds, ndcg, recall, reciprocal_rank
from inhouse.docs.questions import Question, read_questions, right_chunks
from inhouse.docs.sources import Source
from inhouse.store.repository import Store

QUESTIONS = [
    Question("How many days of annual leave do employees have?", ("25", "25 days"), "leave.md", "25 days of annual"),
    Question("What may a hotel cost a night?", ("180,000 won",), "travel.md", "up to 180,000 won a night"),
    Question("남은 연차는 언제까지 이월할 수 있나요?", ("3월 31일",), "연차.md", "3월 31일까지"),
    Question("Who won the football world cup in 1998?", answerable=False),
]


@pytest.fixture(scope="module")
def embedder():
    from inhouse.docs.embed import NanoEmbedder

    return NanoEmbedder(threads=1)


@pytest.fixture(scope="module")
def searcher(tmp_path_factory, embedder):
    searcher = make_collection(tmp_path_factory.mktemp("asked"), embedder)
    yield searcher
    searcher.store.close()


def test_ranks_are_measured_as_defined():
    assert recall([5, 7, 9], {7}, 1) == 0
    assert recall([5, 7, 9], {7}, 2) == 1
    assert reciprocal_rank([5, 7, 9], {9, 7}) == 0.5
    assert reciprocal_rank([5], {9}) == 0
    assert ndcg([5, 7], {7}, 5) == pytest.approx(1 / math.log2(3))
    assert ndcg([7, 9, 5], {7, 9}, 2) == pytest.approx(1)


def test_answers_are_measured_without_citations_and_punctuation():
    assert exact("25 days. [1]", ["25 Days"]) == 1
    assert exact("It is 25 days", ["25 days"]) == 0
    assert holds("It is 25 days [1].", ["25 days"]) == 1
    assert f1("It is 25 days", ["25 days"]) == pytest.approx(2 * 2 / 6)
    assert f1("3월 31일까지", ["3월 31일"]) == pytest.approx(0.8)
    assert f1("nothing", ["25 days"]) == 0


def test_a_sentence_that_no_passage_has_is_unfaithful():
    passages = ["Every employee has 25 days of annual leave a year."]
    said = "Every employee has 25 days of annual leave [1]. The moon is made of green cheese."
    assert faithfulness(said, passages) == 0.5
    assert faithfulness("", passages) is None


def test_questions_are_read_from_jsonl_and_csv(tmp_path):
    lines = tmp_path / "q.jsonl"
    lines.write_text(
        '{"question": "A?", "answers": ["x", "y"]}\n\n{"question": "B?", "answerable": false}\n'
        '{"question": "C?", "answer": "z", "keep": false}\n'
    )
    table = tmp_path / "q.csv"
    table.write_text('question,answers,answerable\n"A?",x | y,\n"B?",,no\n', encoding="utf-8-sig")
    expected = [Question("A?", ("x", "y")), Question("B?", answerable=False)]
    assert read_questions(lines) == expected
    assert read_questions(table) == expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("q.jsonl", "", "no question"),
        ("q.jsonl", "{broken", "row 1 is no JSON"),
        ("q.jsonl", '{"question": "A?"}', "what is right"),
        ("q.jsonl", '{"answers": ["x"]}', "row 1 has no question"),
        ("q.csv", "frage,antwort\na,b\n", "no column question"),
    ],
)
def test_a_question_set_that_cannot_be_used_says_why(tmp_path, name, text, said):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_questions(file)


def test_a_question_is_answered_by_the_chunk_with_its_quote(searcher):
    right = right_chunks(QUESTIONS, searcher.store)
    assert [len(ids) for ids in right] == [1, 1, 1, 0]
    (stored,) = searcher.store.chunks(right[1])
    assert stored.path == "travel.md"
    with pytest.raises(UsageError, match="none of these"):
        right_chunks([Question("A?", ("nothing of the kind",))], searcher.store)


async def test_every_figure_of_an_evaluation_is_kept_with_its_interval(searcher, tmp_path):
    def say(request):
        text = request.messages[-1].content.splitlines()[-1]
        if "hotel cost" in text:
            return "A hotel may cost up to 180,000 won a night [1]."
        return (
            "25 days [1]. The sun is a cold stone [8]."
            if "annual leave" in text
            else "3월 31일까지 이월할 수 있다 [1]."
        )

    model = SayingModel(say)
    scored = await answer_all(QUESTIONS, searcher, model, "m", AnswerPlan(k=3))
    with Store(f"sqlite:///{tmp_path}/eval.db") as store:
        run = keep(
            store, scored, plan_config(AnswerPlan(k=3)), environment=read_environment(), seed=1, model="m", engine="x"
        )
        assert run.status is RunStatus.DONE
        kept = {metric.name: metric for metric in store.metrics(run.id) if "stat" not in metric.labels}
        samples = store.samples(run.id)
    assert kept["recall_1"].value == kept["mrr"].value == kept["ndcg_3"].value == 1
    assert kept["answer_holds"].value == 1
    assert kept["refusal"].value == 1
    assert kept["refusal"].n == 1
    assert kept["false_refusal"].value == 0
    assert kept["citation_precision"].value == 1
    assert kept["made_up_citations"].value == pytest.approx(1 / 3)
    assert kept["faithfulness"].value == pytest.approx((1 + 0.5 + 1) / 3)
    assert [sample.prompt for sample in samples] == [question.question for question in QUESTIONS]


def test_two_ways_are_compared_question_by_question():
    questions = [Question(str(at), ("x",)) for at in range(40)]
    good = [Scored(question, {"mrr": 1.0}, {}) for question in questions]
    bad = [Scored(question, {"mrr": 0.5 if at % 2 else 1.0}, {}) for at, question in enumerate(questions)]
    difference = paired(good, bad, "mrr", seed=0)
    assert difference.value == 0.25
    assert difference.low > 0.1
    assert difference.p < 0.01
    assert paired(good, good, "mrr", seed=0).p > 0.5
    assert paired(good, [], "mrr", seed=0) is None
    assert metrics_of(good, seed=0)[0].n == 40


def test_ways_to_cut_and_search_are_compared_and_drawn(embedder, tmp_path):
    place = tmp_path / "files"
    for name, text in HANDBOOK.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    tried = list(
        compare(
            QUESTIONS, [Source(place)], embedder, folder=tmp_path, seed=0, modes=["hybrid", "sparse"], ks=[3],
            plans=[ChunkPlan(strategy="structure", size=64), ChunkPlan(strategy="tokens", size=32, overlap=8)],
        )
    )  # fmt: skip
    assert len(tried) == 4
    assert all(one.chunks > 3 and one.index_s > 0 and one.index_bytes > 0 for one in tried)
    standings = ranked(tried, seed=0)
    assert standings[0].behind is None
    values = [standing.tried.value("recall_3") for standing in standings]
    assert values == sorted(values, reverse=True)
    svg = chart(standings, "mrr", "Ways <compared>")
    assert svg.count("<rect") == 4
    assert "&lt;compared&gt;" in svg


def test_generated_questions_are_checked(searcher):
    leave = next(
        stored for document in searcher.store.documents() for stored in searcher.store.chunks_of(document.id)
        if "25 days" in stored.chunk.text
    )  # fmt: skip

    def problem(question, answer):
        return check(Question(question, (answer,), "leave.md"), leave.chunk.text, searcher, leave.id)

    assert problem("How many days of annual leave does every employee have?", "25 days") == ""
    assert "does not stand" in problem("How many days of leave are there?", "26 days")
    assert "gives its answer away" in problem("Are there 25 days of annual leave?", "25 days")
    assert "points at" in problem("How much leave does this text give?", "25 days")


async def test_questions_are_generated_until_enough_have_passed(embedder, tmp_path):
    filler = "It was decided by the board and holds for all sites. " * 3
    searcher = make_collection(
        tmp_path, embedder, {f"{name}.md": f"# {name}\n\nThe {name} opens at {at} o'clock. {filler}"
                             for at, name in enumerate(("canteen", "library", "garage"), 6)}
    )  # fmt: skip

    def say(request):
        text = request.messages[-1].content
        name = next(name for name in ("canteen", "library", "garage") if name in text)
        if name == "library":
            return "I cannot do that"
        return json.dumps(
            {"question": f"When does the {name} open?", "answer": "6 o'clock" if name == "canteen" else "8 o'clock"}
        )

    made = [one async for one in generate(searcher, SayingModel(say), "m", count=2, seed=0)]
    good = {one.question.document: one.question for one in made if not one.problem}
    assert set(good) == {"canteen.md", "garage.md"}
    assert good["garage.md"].quote.startswith("The garage opens at 8 o'clock.")
    assert all("no JSON" in one.problem for one in made if one.question.document == "library.md")
    searcher.store.close()


def test_search_is_measured_without_a_model(searcher):
    scored = search_all(QUESTIONS, searcher, k=3)
    assert [one.scores.get("recall_3") for one in scored] == [1.0, 1.0, 1.0, None]
    assert all(one.times["search_s"] > 0 for one in scored)


def _judge(request):
    """Passes what gives the reference, for a reason, as a judge is asked to."""
    text = request.messages[-1].content
    reference = text.split("[Reference answer]\n")[1].split("\n[Answer to grade]")[0].splitlines()
    answer = text.split("[Answer to grade]\n")[1].split("\n[End of")[0]
    verdict = "PASS" if any(one and one in answer for one in reference) else "FAIL"
    return json.dumps({"reason": "compared", "verdict": verdict})


def _scored(question, said, *, refused=False):
    return Scored(question, {"answer_holds": holds(said, question.answers)}, {}, said, refused)


async def test_answers_are_judged_and_the_judge_is_held_against_wordings_and_people(tmp_path):
    questions = [Question(f"How many days in case {at}?", ("25 days", "twenty-five days")) for at in range(10)]
    scored = [
        _scored(one, "It is 25 days [1]." if at < 6 else "It is 30 days [2].") for at, one in enumerate(questions)
    ]
    scored += [_scored(questions[0], "This is not in the documents.", refused=True),
               Scored(Question("Who won?", answerable=False), {"refusal": 1.0}, {}, "Nobody", True)]  # fmt: skip
    model = SayingModel(_judge)
    told = await judge_all(scored, model, "j")
    assert [one.scores.get("answer_judged") for one in told] == [1.0] * 6 + [0.0] * 4 + [0.0, None]
    assert len(model.requests) == 10  # neither the refusal nor the question without an answer
    assert "[1]" not in model.requests[0].messages[-1].content.split("[Answer to grade]")[1]
    agreement = {(one.name, one.labels["with"]): one for one in trust(labelled(told), seed=0)}
    assert agreement["agreement", "wordings"].value == 1
    assert agreement["kappa", "wordings"].n == 10

    file = tmp_path / "answers.jsonl"
    assert write_answers(file, told) == 10
    with pytest.raises(UsageError, match="Nobody has labelled"):
        read_labels(file)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for at, row in enumerate(rows[:8]):  # people pass one that the judge failed, and leave two unlabelled
        row["right"] = at < 7
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {(one.name, one.labels["of"], one.labels["with"]): one for one in trust(read_labels(file), seed=0)}
    assert found["agreement", "judge", "people"].value == pytest.approx(7 / 8)
    assert found["agreement", "judge", "people"].low is not None
    assert 0 < found["kappa", "judge", "people"].value < 1
    assert found["agreement", "judge", "wordings"].n == 10


async def test_a_judge_without_a_verdict_leaves_the_answer_unjudged():
    scored = [_scored(Question("How many?", ("25",)), "It is 25.")]
    (told,) = await judge_all(scored, SayingModel(lambda request: "I would rather not say"), "j")
    assert "answer_judged" not in told.scores


@pytest.mark.parametrize(
    "text", ["", "not json\n", '{"question": "A?"}\n', '{"question": "A?", "answer": "b", "right": "yes"}\n']
)
def test_labels_that_cannot_be_used_say_why(tmp_path, text):
    file = tmp_path / "answers.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"labels|labelled"):
        read_labels(file)

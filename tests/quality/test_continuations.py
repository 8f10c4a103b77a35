"""Log-probabilities of whole texts, from a real model: they add up, also where tokens cut characters."""

import pytest

from inhouse.engines.base import ChatRequest, Message
from inhouse.models.opened import open_for


@pytest.mark.usefixtures("tiny_model")
async def test_a_text_is_as_likely_as_its_parts_one_after_the_other():
    async with open_for("embedded", "smollm2:135m", context=512, slots=1) as opened:

        async def logprobs(prompt, *texts):
            request = ChatRequest(opened.model, (Message("user", prompt),))
            return [one.logprob for one in await opened.engine.continuations(request, texts, raw=True)]

        prompt = "Question: What is the capital of Korea?\nAnswer:"
        for first, second in ((" Seoul", " is it"), (" 서울", " 입니다"), (" a café", " – or　　so")):
            (whole,) = await logprobs(prompt, first + second)
            (begin,) = await logprobs(prompt, first)
            (end,) = await logprobs(prompt + first, second)
            # A few hundredths apart: the cache's state is quantised differently by how the prompt was read.
            assert whole == pytest.approx(begin + end, abs=0.3)
        likely, unlikely = await logprobs(prompt, " Seoul", " 서울")
        assert unlikely < likely < 0

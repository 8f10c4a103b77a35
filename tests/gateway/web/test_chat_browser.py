"""The chat in a browser: streaming, stop, edit and branches, approval of tools, export, and what may not happen."""

from __future__ import annotations

import json
import re

import pytest
from browsing import talking_site, too_wide, violations
from playwright.sync_api import expect
from talking_engine import TalkingEngine

from inhouse.agent.config import AgentConfig
from inhouse.agent.tools.base import Tool, ToolResult
from inhouse.gateway.offers import ServedAgent

ATTACK = (
    '<img src=x onerror="window.hit=1"><script>window.hit=1</script> [x](javascript:window.hit=1) ![p](//evil/p.png)'
)


def ticket_tool(done):
    async def run(arguments, context):
        done.append(dict(arguments))
        return ToolResult(f"opened {ATTACK}")

    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return Tool("ticket", "Opens a ticket.", schema, run, effect="effect")


@pytest.fixture
def done():
    return []


@pytest.fixture
def desk(store_url, done):
    """A gateway with the parrot and an agent that can open tickets."""
    agent = ServedAgent(AgentConfig("parrot", tools=("ticket",)), {"ticket": ticket_tool(done)})
    with talking_site(store_url, TalkingEngine("parrot", "agent/desk"), agents={"agent/desk": agent}) as site:
        yield site


def say(page, text):
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def answered(page, count=1):
    expect(page.locator("article.model [data-do=retry]")).to_have_count(count)
    expect(page.locator("#send")).to_be_visible()


def test_an_answer_streams_as_markdown_with_its_figures_and_is_there_after_a_reload(looks, talking):
    page = looks.open(talking, "/ui/chat", talking.user)
    say(page, "**bold** and `code`\n\n- a\n- b")
    answered(page)
    answer = page.locator("article.model .text")
    expect(answer.locator("strong")).to_have_text("bold")
    expect(answer.locator("li")).to_have_count(2)
    expect(page.locator(".figures")).to_contain_text(re.compile(r"TTFT .* tokens"))
    expect(page.locator("#list a[aria-current]")).to_contain_text("**bold** and `code`")
    shown = page.locator("#steps").inner_text()
    page.reload()
    assert page.locator("#steps").inner_text() == shown
    say(page, "and again")
    answered(page, 2)
    (_, second) = talking.running.engine.requests
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert violations(page) == ""


def test_an_answer_is_stopped_and_what_has_come_stays(looks, talking):
    talking.running.engine.word_s = 0.1
    page = looks.open(talking, "/ui/chat", talking.user)
    say(page, " ".join(f"word{i}" for i in range(200)))
    expect(page.locator("article.model .text")).to_contain_text("word3")
    page.locator("#stop").click()
    answered(page)
    expect(page.locator("article.model .text")).to_contain_text("word3")
    expect(page.locator("article.model .text")).not_to_contain_text("word100")
    page.reload()
    expect(page.locator("article.model .text")).to_contain_text("word3")
    assert talking.running.engine.left_early == 1


def test_a_message_is_edited_and_both_ways_stay_to_be_read(looks, talking):
    page = looks.open(talking, "/ui/chat", talking.user)
    say(page, "first question")
    answered(page)
    page.locator("article.input [data-do=edit]").click()
    page.locator("article.input textarea").fill("other question")
    page.locator("article.input button.main").click()
    expect(page.locator("article.model .text")).to_have_text("other question")
    answered(page)
    expect(page.locator(".ways")).to_contain_text("2/2")
    page.locator(".ways a").click()
    expect(page.locator("article.model .text")).to_have_text("first question")
    expect(page.locator(".ways")).to_contain_text("1/2")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("[data-do=retry]").click()
    answered(page)
    expect(page.locator("article.model .ways")).to_contain_text("2/2")


def test_model_and_parameters_reach_the_engine(looks, talking):
    page = looks.open(talking, "/ui/chat", talking.user)
    page.locator("#say summary").click()
    page.locator("#system").fill("Be brief.")
    page.locator("#temperature").fill("0.35")
    page.locator("#max_tokens").fill("2")
    say(page, "one two three four")
    answered(page)
    expect(page.locator("article.model .text")).to_have_text("one two")
    (request,) = talking.running.engine.requests
    assert (request.temperature, request.max_tokens, request.messages[0].content) == (0.35, 2, "Be brief.")
    page.locator("#max_tokens").fill("3")
    say(page, "five six seven eight")
    answered(page, 2)
    assert talking.running.engine.requests[-1].max_tokens == 3
    expect(page.locator("#list li")).to_have_count(1)


def test_a_tool_runs_once_it_is_allowed_and_not_when_it_is_refused(looks, desk, done):
    page = looks.open(desk, "/ui/chat", desk.user)
    page.locator("#model").select_option("agent/desk")
    say(page, "Seoul")
    expect(page.locator(".call.waiting")).to_contain_text('"city": "Seoul"')
    assert done == []
    assert violations(page) == ""
    page.reload()
    page.get_by_role("button", name="Allow").click()
    expect(page.locator(".call.done")).to_be_visible()
    answered(page)
    assert done == [{"city": "Seoul"}]
    page.goto("/ui/chat")
    page.locator("#model").select_option("agent/desk")
    say(page, "Busan")
    page.get_by_role("button", name="Refuse").click()
    expect(page.locator(".call.refused")).to_be_visible()
    answered(page)
    assert done == [{"city": "Seoul"}]
    assert page.evaluate("window.hit") is None, "what a tool returned ran in the page"


def test_what_a_model_or_a_person_writes_cannot_run(looks, talking):
    page = looks.open(talking, "/ui/chat", talking.user)
    page.route("**evil**", lambda route: pytest.fail("the page loaded from elsewhere"))
    say(page, ATTACK)
    answered(page)
    page.reload()
    expect(page.locator("article.model .text")).to_contain_text("onerror")
    assert page.locator("#steps img, #steps script").count() == 0
    assert page.locator("#steps a[href^=javascript]").count() == 0
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None


def test_a_conversation_is_its_keys_alone(looks, talking):
    mine = looks.open(talking, "/ui/chat", talking.user)
    say(mine, "a secret plan")
    answered(mine)
    address = mine.url
    boss = looks.open(talking, "/ui/chat", talking.admin)
    expect(boss.locator("#list")).to_contain_text("No conversations yet")
    csrf = boss.locator("body").get_attribute("data-csrf")
    one = address.rpartition("/")[2]
    for path in ("", "/export?form=json", "/source/1/1"):
        assert boss.request.get(address + path).status == 404
    for path in ("/delete", "/rename"):
        assert boss.request.post(address + path, form={"csrf": csrf, "title": "x"}).status == 404
    said = boss.request.post(
        "/ui/chat/turn", data={"do": "say", "conversation": one, "text": "x"}, headers={"X-CSRF-Token": csrf}
    )
    assert "No conversation goes by" in said.text()
    assert "secret" not in boss.request.get("/ui/chat/list?q=secret").text()
    mine.reload()
    expect(mine.locator("article.model .text")).to_have_text("a secret plan")


def test_a_turn_that_no_page_of_ours_sent_is_refused(looks, talking):
    page = looks.open(talking, "/ui/chat", talking.user)
    assert page.request.post("/ui/chat/turn", data={"do": "say", "text": "x"}).status == 403
    assert talking.running.engine.requests == []


def test_search_export_rename_and_delete(looks, talking):
    page = looks.open(talking, "/ui/chat", talking.user)
    say(page, "연차는 며칠인가요?")
    answered(page)
    page.goto("/ui/chat")
    say(page, "something else")
    answered(page)
    expect(page.locator("#list li")).to_have_count(2)
    page.locator("#q").fill("연차")
    expect(page.locator("#list li")).to_have_count(1)
    page.locator("#list a").click()
    kept = json.loads(page.request.get(page.url + "/export?form=json").text())
    assert [step["text"] for step in kept["steps"]] == ["연차는 며칠인가요?", "연차는 며칠인가요?"]
    assert "## You" in page.request.get(page.url + "/export?form=md").text()
    page.locator("#more [name=title]").fill("Leave")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("h1")).to_have_text("Leave")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#list li")).to_have_count(1)
    expect(page.locator("#list")).not_to_contain_text("Leave")


def test_a_limit_is_told_and_the_answer_can_be_tried_again(looks, talking):
    from inhouse.core.errors import EngineRefused

    talking.running.engine.fails = EngineRefused("The engine refused", why="it is a test")
    page = looks.open(talking, "/ui/chat", talking.user)
    say(page, "hello")
    expect(page.locator("article.stop")).to_contain_text("it is a test")
    talking.running.engine.fails = None
    page.get_by_role("button", name="Try again").click()
    answered(page)
    expect(page.locator("article.model .text").last).to_have_text("hello")


@pytest.mark.parametrize("lang", ["ko", "en"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chat_fits_a_phone_in_every_language_and_theme_and_can_be_used_by_everybody(looks, desk, lang, theme):
    page = looks.open(desk, "/ui/chat", desk.user, lang=lang, theme=theme, width=320, height=640)
    assert violations(page) == ""
    say(page, "| a | b |\n|-|-|\n| 1 | 2 |\n\n```\n" + "long " * 40 + "\n```\n\n> quoted\n\n" + "w" * 200)
    answered(page)
    page.locator("#model").select_option("agent/desk")
    say(page, "Seoul")
    expect(page.locator(".call.waiting")).to_be_visible()
    assert not too_wide(page)
    assert violations(page) == ""


def test_the_small_model_answers_a_real_question_by_keyboard_alone(looks, site):
    page = looks.open(site, "/ui/chat", site.user)
    page.keyboard.type("Write one short sentence about the sea.")
    page.keyboard.press("Enter")
    expect(page.locator("article.model [data-do=retry]")).to_be_visible(timeout=60_000)
    assert len(page.locator("article.model .text").inner_text().strip()) > 5
    expect(page.locator(".figures")).to_contain_text("tokens/s")

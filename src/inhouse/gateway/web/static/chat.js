// The chat: sends what is said, draws the answer as its lines come, stops it, edits and repeats turns.
"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const talk = by("talk"), steps = by("steps"), say = by("say"), text = by("text");
  const side = by("side");
  let answering = null;
  let follow = true;  // until the reader scrolls up

  if (matchMedia("(min-width: 60.01rem)").matches) side.open = true;

  const near = () => innerHeight + scrollY > document.documentElement.scrollHeight - 200;
  const chosen = () => {
    const number = (id) => (by(id).value === "" ? null : Number(by(id).value));
    return {
      model: by("model").value, system: by("system").value, temperature: number("temperature"),
      top_p: number("top_p"), max_tokens: number("max_tokens"),
    };
  };

  const busy = (now, state) => {
    steps.setAttribute("aria-busy", String(now));
    by("send").hidden = now;
    by("stop").hidden = !now;
    by("state").textContent = state;
    for (const button of steps.querySelectorAll("button")) button.disabled = now;
  };

  const swap = (id, into, html) => {
    const old = by(id);
    if (old) old.outerHTML = html;
    else by(into).insertAdjacentHTML("beforeend", html);
  };

  // A conversation that was begun or branched: the page is its own from now on.
  const become = (change) => {
    for (const step of [...steps.children]) if (Number(step.dataset.step) >= change.begun) step.remove();
    const id = change.conversation;
    if (talk.dataset.conversation === id) return;
    talk.dataset.conversation = by("at").value = id;
    history.pushState(null, "", "/ui/chat/" + id);
    if (change.title) {
      by("title").textContent = change.title;
      by("more").querySelector("[name=title]").value = change.title;
    }
    by("more").hidden = false;
    for (const one of by("more").querySelectorAll("[data-path]")) {
      one.setAttribute(one.tagName === "A" ? "href" : "action", "/ui/chat/" + id + one.dataset.path);
    }
  };

  const draw = (change) => {
    if (change.conversation) become(change);
    if (change.html) swap(change.id, change.into, change.html);
    if (change.error) by("problem").innerHTML = change.error;
    if (follow) scrollTo(0, document.documentElement.scrollHeight);
  };

  const lines = async function* (body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const found = (rest + value).split("\n");
      rest = found.pop();
      for (const line of found) yield JSON.parse(line);
    }
  };

  const ask = async (turn) => {
    if (answering) return;
    answering = new AbortController();
    follow = true;
    by("problem").replaceChildren();
    busy(true, talk.dataset.busy);
    let state = talk.dataset.done;
    try {
      const answer = await inhouse.ask("/ui/chat/turn", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ conversation: talk.dataset.conversation, ...chosen(), ...turn }),
        signal: answering.signal,
      });
      for await (const change of lines(answer.body)) {
        draw(change);
        if (change.waits) state = talk.dataset.waits;
      }
    } catch (error) {
      if (error.name === "AbortError") state = talk.dataset.stopped;
      else inhouse.tell(error.message);
    }
    const stopped = answering.signal.aborted;
    answering = null;
    busy(false, state);
    if (follow) scrollTo(0, document.documentElement.scrollHeight);
    if (stopped) await settle();
    htmx.trigger(document.querySelector("[role=search]"), "submit");
  };

  // After a stop: what was kept of it takes the place of what was drawn.
  const settle = async () => {
    const id = talk.dataset.conversation;
    if (!id) return;
    await new Promise((then) => setTimeout(then, 300));
    const page = new DOMParser().parseFromString(await (await inhouse.ask("/ui/chat/" + id)).text(), "text/html");
    steps.replaceChildren(...page.getElementById("steps").children);
  };

  const edit = (step) => {
    const form = document.createElement("form");
    const area = document.createElement("textarea");
    area.value = step.dataset.text;
    area.rows = Math.min(12, area.value.split("\n").length + 1);
    area.setAttribute("aria-label", talk.dataset.edit);
    const send = document.createElement("button");
    send.className = "main";
    send.textContent = talk.dataset.save;
    const cancel = document.createElement("button");
    cancel.type = "button";
    cancel.textContent = talk.dataset.cancel;
    const row = document.createElement("div");
    row.className = "row";
    row.append(send, cancel);
    form.append(area, row);
    const before = [...step.children];
    step.replaceChildren(form);
    area.focus();
    const back = () => { step.replaceChildren(...before); step.querySelector("[data-do=edit]").focus(); };
    cancel.addEventListener("click", back);
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") back(); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (area.value.trim()) ask({ do: "edit", step: Number(step.dataset.step), text: area.value });
    });
  };

  say.addEventListener("submit", (event) => {
    event.preventDefault();
    if (answering || !text.value.trim()) return;
    const said = text.value;
    text.value = "";
    ask({ do: "say", text: said });
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    // While Hangul is being composed, Enter ends the syllable and not the message.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      say.requestSubmit();
    }
  });
  by("stop").addEventListener("click", () => { if (answering) answering.abort(); text.focus(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && answering) answering.abort();
  });
  steps.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-do]");
    if (!button || answering) return;
    const step = button.closest("[data-step]");
    const number = Number(step.dataset.step);
    const action = button.dataset.do;
    if (action === "edit") edit(step);
    else if (action === "copy") {
      await navigator.clipboard.writeText(step.querySelector(".text").innerText);
      by("state").textContent = talk.dataset.copied;
    } else if (action === "decide") {
      ask({ do: "decide", step: number, index: Number(button.dataset.index), allow: Boolean(button.dataset.allow) });
    } else ask({ do: action, step: number });
  });
  by("delete").addEventListener("submit", (event) => { if (!confirm(talk.dataset.sure)) event.preventDefault(); });
  for (const kind of ["wheel", "touchmove"]) addEventListener(kind, () => { follow = near(); }, { passive: true });
  addEventListener("popstate", () => location.reload());
  text.focus({ preventScroll: true });
  if (steps.lastElementChild) scrollTo(0, document.documentElement.scrollHeight);
})();

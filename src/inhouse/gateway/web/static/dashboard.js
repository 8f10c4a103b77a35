// The dashboard: figures of each second from one stream, charts of the chosen range, tables that follow.
"use strict";
(() => {
  const { chart, number, seconds, share, won, bytes } = window.inhouseCharts;
  const page = document.getElementById("dashboard"), state = document.getElementById("state");
  const { of, range } = page.dataset, words = JSON.parse(page.dataset.words);
  const live = range === "live", KEPT = 120;
  const STEPS = { "1h": 10, "6h": 60 };
  const query = "of=" + encodeURIComponent(of);

  const sum = (parts) => Object.values(parts || {}).reduce((one, other) => one + other, 0);
  const errors = (figures) => (figures.failed || 0) + (figures.refused || 0);
  const codes = (parts) => Object.entries(parts).map(([code, count]) => code + " " + number(count)).join(", ");
  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text != null) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  // --- figures ------------------------------------------------------------------------------------------

  const figures = Object.fromEntries([...page.querySelectorAll("[data-figure]")].map((one) => [one.dataset.figure, one]));
  const say = (name, text) => { if (figures[name] && figures[name].textContent !== text) figures[name].textContent = text; };
  const triple = (name, values) => {
    say(name, seconds(values[0]));
    say(name + "_hint", "p95 " + seconds(values[1]) + " · p99 " + seconds(values[2]));
  };

  const tell = (frame) => {
    const { second, minute } = frame, long = frame.minute_s;
    say("requests_s", number(second.requests || 0));
    say("running", number(frame.running));
    say("waiting", frame.waiting == null ? "–" : number(frame.waiting));
    say("waiting_hint", minute.queue[1] == null ? "" : words.queue + " p95 " + seconds(minute.queue[1]));
    say("tokens_s", number((minute.completion || 0) / long));
    for (const name of ["ttft", "itl", "e2e"]) triple(name, minute[name]);
    say("errors", minute.requests ? share(errors(minute) / minute.requests) : "–");
    say("errors_hint", codes(minute.error));
    say("guard", number(sum(minute.guard)));
    say("guard_hint", codes(minute.guard));
    say("cache", minute.requests ? share(sum(minute.cache) / minute.requests) : "–");
    if (frame.spent) {
      say("day_krw", won(frame.spent.day_krw));
      say("month_krw", won(frame.spent.month_krw));
    }
    models(frame.models, long);
    if (frame.keys) keys(frame.keys);
    if (frame.machines) machines(frame.machines);
    if (frame.alerts) alerts(frame.alerts.join(" "));
  };

  let asked = null;
  const alerts = (ids) => {
    const shown = document.getElementById("alerts");
    if (!shown || shown.dataset.ids === ids || asked === ids) return;
    asked = ids;  // once, whatever comes of it
    htmx.ajax("GET", "/ui/dashboard/alerts", { target: shown, swap: "outerHTML" });
  };

  // A table's body with these rows; a cell that has not changed stays, so that a selection in it does too.
  const fill = (body, rows) => {
    while (body.rows.length > rows.length) body.lastElementChild.remove();
    rows.forEach((cells, at) => {
      const row = body.rows[at] || body.appendChild(document.createElement("tr"));
      while (row.cells.length > cells.length) row.lastElementChild.remove();
      cells.forEach(([text, kind, more], index) => {
        let cell = row.cells[index];
        const name = index === 0 ? "th" : "td", shown = text + "\n" + (more || "");
        if (cell && cell.dataset.shown === shown) return;
        const made = element(name, null, index === 0 || kind?.startsWith("state") ? "" : "num");
        if (index === 0) made.scope = "row";
        made.dataset.shown = shown;
        made.append(element("span", text, kind));
        if (more) made.append(element("span", more, "dim small"));
        if (cell) cell.replaceWith(made); else row.append(made);
      });
    });
  };

  const models = (those, long) => {
    fill(document.getElementById("models"), those.map((one) => {
      const state_of = [words[one.state] || one.state, "state " + one.state];
      if (!one.replicas) return [[one.model], state_of];
      const bad = one.replicas.filter((each) => each.state !== "ready");
      const restarts = one.replicas.filter((each) => each.restarts != null);
      const why = bad.map((each) => each.name + ": " + (words[each.state] || each.state) + (each.detail ? " (" + each.detail + ")" : "")).join("; ");
      return [
        [one.model, "", why], state_of,
        [number(one.running) + " / " + number(one.slots)], [number(one.waiting)], [number(one.requests / long * 60)],
        [number(one.tokens / long)], [seconds(one.ttft[0]), "", "p95 " + seconds(one.ttft[1])],
        [restarts.length ? number(restarts.reduce((all, each) => all + each.restarts, 0)) : "–"],
      ];
    }));
  };

  const keys = (those) => {
    fill(document.getElementById("keys"), those.map((one) => [
      [one.name], [number(one.waiting)], [number(one.requests)], [number(one.tokens)], [won(one.micro_krw / 1e6)],
    ]));
  };

  // Named figures in a list: [[label, value, what stands below]].
  const list = (place, those) => {
    const shown = JSON.stringify(those);
    if (place.dataset.shown === shown) return;
    place.dataset.shown = shown;
    place.replaceChildren(...those.map(([label, value, below]) => {
      const one = document.createElement("div");
      one.append(element("dt", label), element("dd", value));
      if (below) one.append(element("dd", below, "dim small"));
      return one;
    }));
  };

  const machines = (those) => {
    const many = Object.keys(those).length > 1;
    list(document.getElementById("machines"), Object.entries(those).flatMap(([name, read]) => {
      const label = (key) => (many ? name + ": " : "") + words[key];
      const found = [
        [label("cpu"), share(read.cpu), ""],
        [label("memory"), share(read.memory), bytes(read.memory_bytes) + " / " + bytes(read.memory_of)],
      ];
      if (read.disk != null) found.push([label("disk"), share(read.disk), words.free + " " + bytes(read.disk_free)]);
      if (read.gpu != null) found.push([label("gpu"), share(read.gpu), bytes(read.gpu_bytes)]);
      if (read.engine_bytes != null) found.push([label("engine"), bytes(read.engine_bytes), words.cores + " " + number(read.engine_cores)]);
      found.push([label("gateway"), bytes(read.own_bytes), words.cores + " " + number(read.own_cores)]);
      return found;
    }));
  };

  // --- charts -------------------------------------------------------------------------------------------

  const percentiles = ["p50", "p95", "p99"].map((label) => ({ label }));
  const CHARTS = {
    requests: [[{ label: words.requests }, { label: words.failed, colour: "bad" }, { label: words.refused, colour: "b" }], number, (one) => [one.requests, one.failed, one.refused]],
    tokens: [[{ label: words.completion }, { label: words.prompt }], number, (one) => [one.completion, one.prompt]],
    ttft: [percentiles, seconds, (one) => one.ttft],
    itl: [percentiles, seconds, (one) => one.itl],
    e2e: [percentiles, seconds, (one) => one.e2e],
    queue: [[{ label: words.running }, { label: words.waiting }], number, (one) => [one.running, one.waiting]],
    cache: [[{ label: words.cache }], share, (one) => [one.cache], 0.1],
    cost: [[{ label: words.krw_h }], won, (one) => [one.krw]],
  };
  const drawn = {};
  const draw = (name, columns, lines, text, most) => {
    const place = page.querySelector('[data-chart="' + name + '"]');
    if (!place) return;
    place.dataset.time = words.time;
    drawn[name] ||= chart(place, lines, text, most);
    drawn[name].set(columns);
  };
  const drawAll = (columns) => {
    for (const [name, [lines, text, pick, most]] of Object.entries(CHARTS)) draw(name, [columns.at, ...pick(columns)], lines, text, most);
    const those = Object.entries(columns.machines || {});
    if (!those.length) return;
    const lines = [], values = [];
    those.forEach(([host, read], index) => Object.entries(read).forEach(([key, column], at) => {
      lines.push({ label: (those.length > 1 ? host + ": " : "") + words[key], colour: "abcd"[at], dashed: index > 0 });
      values.push(column);
    }));
    draw("machine", [columns.at, ...values], lines, share, 1);
  };

  const came = (total) => {
    list(document.getElementById("came"), [
      [words.requests, number(total.requests || 0), ""],
      [words.tokens, number((total.prompt || 0) + (total.completion || 0)), words.prompt + " " + number(total.prompt || 0) + " · " + words.completion + " " + number(total.completion || 0)],
      ["TTFT", seconds(total.ttft[0]), "p95 " + seconds(total.ttft[1])],
      ["E2E", seconds(total.e2e[0]), "p95 " + seconds(total.e2e[1])],
      [words.queue, seconds(total.queue[0]), "p95 " + seconds(total.queue[1])],
      [words.errors, number(errors(total)), codes(total.error)],
      [words.guard, number(sum(total.guard)), codes(total.guard)],
      [words.cache, number(sum(total.cache)), codes(total.cache)],
      [words.cost, won((total.micro_krw || 0) / 1e6), ""],
      [words.saved, won((total.saved_micro_krw || 0) / 1e6), ""],
    ]);
  };

  const history = async (name) => {
    const answer = await window.inhouse.ask("/ui/dashboard/history?" + query + "&range=" + name);
    return answer.json();
  };
  const reload = async () => {
    if (document.hidden) return;
    try {
      const columns = await history(live ? "1h" : range);
      if (!live) drawAll(columns);
      came(columns.total);
    } catch (error) {
      window.inhouse.tell(error.message);
    }
  };

  // What the live charts draw: the frames of the last two minutes.
  const frames = [];
  const follow = (frame) => {
    if (frames.length && frames[frames.length - 1].at === frame.at) return;
    frames.push(frame);
    if (frames.length > KEPT) frames.shift();
    const column = (pick) => frames.map(pick);
    const rate = (name) => column((one) => one.second[name] || 0);
    const three = (name) => [0, 1, 2].map((index) => column((one) => one.minute[name][index]));
    const columns = {
      at: column((one) => one.at), requests: rate("requests"), failed: rate("failed"), refused: rate("refused"),
      prompt: rate("prompt"), completion: rate("completion"), ttft: three("ttft"), itl: three("itl"), e2e: three("e2e"),
      running: column((one) => one.running), waiting: column((one) => one.waiting),
      cache: column((one) => (one.minute.requests ? sum(one.minute.cache) / one.minute.requests : null)),
      krw: column((one) => (one.minute.micro_krw || 0) / 1e6 / one.minute_s * 3600),
      machines: {},
    };
    for (const host of Object.keys(frame.machines || {})) {
      columns.machines[host] = {};
      for (const key of ["cpu", "memory", "disk", "gpu"]) {
        if (frame.machines[host][key] != null) columns.machines[host][key] = column((one) => one.machines?.[host]?.[key] ?? null);
      }
    }
    drawAll(columns);
  };

  // --- the stream ---------------------------------------------------------------------------------------

  let stream = null, again = 0;
  const shows = (kind) => {
    if (state.className === kind) return;
    state.className = kind;
    state.textContent = state.dataset[kind];
  };
  const stop = () => { clearTimeout(again); stream?.close(); stream = null; };
  const start = () => {
    stop();
    stream = new EventSource("/ui/dashboard/live?" + query);
    stream.addEventListener("message", (event) => {
      const frame = JSON.parse(event.data);
      shows("live");
      tell(frame);
      if (live) follow(frame);
    });
    stream.addEventListener("over", () => location.reload());  // signed out, or no longer allowed
    stream.addEventListener("error", () => {
      shows("lost");
      if (stream && stream.readyState === EventSource.CLOSED) {
        stop();
        again = setTimeout(start, 5000);
        window.inhouse.ask("/ui/dashboard/history?" + query + "&range=1h").catch(() => {});  // leads to sign-in where it must
      }
    });
  };

  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop(); else { start(); reload(); }
  });
  for (const name of ["of", "range"]) document.getElementById(name)?.addEventListener("change", (event) => event.target.form.submit());
  document.addEventListener("DOMContentLoaded", () => {  // by then the scripts of all pages have run
    reload();
    setInterval(reload, 1000 * Math.max(10, STEPS[range] || 60));
    start();
  });
})();

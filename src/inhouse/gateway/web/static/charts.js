// Charts over time: colours of the theme, figures as their readers write them, as wide as there is room.
"use strict";
(() => {
  const lang = document.documentElement.lang;
  const short = new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 });
  const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });

  const number = (value) => (value == null ? "–" : Math.abs(value) < 1000 ? short.format(value) : whole.format(value));
  const seconds = (value) => {
    if (value == null) return "–";
    return value < 1 ? number(value * 1000) + "\u00a0ms" : number(value) + "\u00a0s";
  };
  const share = (value) => (value == null ? "–" : number(value * 100) + "\u00a0%");
  const won = (value) => (value == null ? "–" : "₩" + number(value));
  const bytes = (value) => {
    if (value == null) return "–";
    let unit = 0;
    for (; Math.abs(value) >= 1000 && unit < 4; unit += 1) value /= 1000;
    return number(value) + "\u00a0" + ["B", "kB", "MB", "GB", "TB"][unit];
  };

  // A custom property as it is drawn: light-dark() is only resolved where a colour is used.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = "var(--" + name + ")";
    return getComputedStyle(probe).color;
  };
  const LINES = ["a", "b", "c", "d"];

  // One chart in `place`. `lines`: [{ label, colour (a letter; dashed for a second meaning) }]; `say` writes a value.
  const chart = (place, lines, say, most) => {
    const clock = { hour12: false };
    const at = (moment, parts) => new Date(moment * 1000).toLocaleString(lang, { ...clock, ...parts });
    const size = () => ({ width: Math.max(200, place.clientWidth), height: 180 });
    let plot = null, held = null;

    const draw = () => {
      const dim = colour("dim"), line = colour("line");
      const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
      const ticks = (self, splits) => {
        const days = splits.length > 1 && splits[1] - splits[0] >= 86400;
        const whole_day = splits.length > 1 && splits[splits.length - 1] - splits[0] > 86400;
        return splits.map((moment) => at(moment, days ? { month: "numeric", day: "numeric" }
          : whole_day ? { month: "numeric", day: "numeric", hour: "2-digit" }
          : splits[1] - splits[0] < 60 ? { hour: "2-digit", minute: "2-digit", second: "2-digit" }
          : { hour: "2-digit", minute: "2-digit" }));
      };
      plot?.destroy();
      plot = new uPlot({
        ...size(),
        cursor: { points: { size: 6 } },
        legend: { live: true },
        hooks: { setCursor: [(self) => { if (self.cursor.idx == null) newest(self); }] },
        scales: { x: { time: true }, y: { range: (self, low, high) => [0, Math.max(high ?? 0, most ?? 0) * 1.05 || 1] } },
        axes: [
          { ...axis, values: ticks, space: 80 },
          { ...axis, values: (self, splits) => splits.map((value) => say(value)), size: 74 },
        ],
        series: [
          { value: (self, moment) => (moment == null ? "–" : at(moment, { dateStyle: "short", timeStyle: "medium" })), label: place.dataset.time },
          ...lines.map((one, index) => ({
            label: one.label, stroke: colour(one.colour || LINES[index % 4]), width: 2, dash: one.dashed ? [6, 4] : undefined,
            spanGaps: false, value: (self, value) => say(value),
          })),
        ],
      }, held, place);
      newest(plot);
    };
    // Where nobody points at a moment the legend tells of the newest.
    const newest = (self) => { if (self.data[0].length) self.setLegend({ idx: self.data[0].length - 1 }, false); };

    new ResizeObserver(() => { if (plot && held) plot.setSize(size()); }).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (held) draw(); });
    return {
      set(columns) {
        held = columns;
        if (!plot) draw(); else { plot.setData(columns); if (plot.cursor.idx == null) newest(plot); }
      },
    };
  };

  window.inhouseCharts = { chart, number, seconds, share, won, bytes };
})();

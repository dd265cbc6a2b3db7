// Draws each chart when it becomes visible or the browser is idle, sorts tables, marks the current section.
(function () {
  "use strict";
  const font = getComputedStyle(document.body).fontFamily;
  const ink = "var(--ink)", muted = "var(--muted)", rule = "var(--rule)";
  const config = {
    font, background: null, aria: false, view: { stroke: null },
    padding: { left: 1, right: 8, top: 2, bottom: 2 },
    axis: {
      labelColor: muted, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400,
      gridColor: rule, domainColor: rule, tickColor: rule, titlePadding: 8, labelPadding: 5, labelLimit: 150,
    },
    axisX: { titleAnchor: "start" },
    axisY: { titleAngle: 0, titleAlign: "left", titleAnchor: "end", titleX: 0, titleY: -10, titleBaseline: "bottom" },
    legend: {
      labelColor: ink, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400,
      orient: "bottom", columns: { signal: "width < 500 ? 2 : 5" }, labelLimit: 220, symbolSize: 90, rowPadding: 5,
      symbolStrokeColor: ink,
    },
    text: { fontSize: 13, color: ink },
    header: { labelColor: ink, titleColor: muted },
  };

  async function draw(chart) {
    if (chart.dataset.drawn) return;
    chart.dataset.drawn = "started";
    const spec = JSON.parse(chart.querySelector("script").textContent);
    const plot = chart.querySelector(".plot");
    const tooltip = { theme: "custom" };  // its colours are the stylesheet's
    await vegaEmbed(plot, spec, { mode: "vega-lite", renderer: "svg", actions: false, config, tooltip });
    plot.addEventListener("click", (event) => describe(chart, event));
    const svg = plot.querySelector("svg");
    svg.removeAttribute("aria-hidden");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", chart.dataset.label);
    [...svg.children].forEach((child) => child.setAttribute("aria-hidden", "true"));
    plot.style.minHeight = "";
    chart.dataset.drawn = "done";
  }

  const NEAR = 24;  // px between a finger and a point

  // The values of a pressed point are shown under its chart: a finger cannot hover, nor press a point exactly.
  function describe(chart, event) {
    const shown = chart.querySelector(".pressed");
    const away = (mark) => {
      const box = mark.getBoundingClientRect();
      const [x, y] = [event.clientX, event.clientY];
      return Math.hypot(x - Math.min(Math.max(x, box.left), box.right), y - Math.min(Math.max(y, box.top), box.bottom));
    };
    const tip = (mark) => mark.__data__ && mark.__data__.tooltip;
    const marks = [...chart.querySelectorAll(".role-mark path")].filter(tip);
    const hit = marks.includes(event.target) ? event.target : marks.reduce(
      (best, mark) => (away(mark) < (best ? away(best) : NEAR) ? mark : best), null,
    );
    if (!hit) { shown.textContent = ""; return; }
    const words = tip(hit);
    shown.textContent = typeof words === "string" ? words : Object.entries(words).map(([k, v]) => `${k}: ${v}`).join(" · ");
  }

  const charts = [...document.querySelectorAll(".chart")];
  const visible = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) draw(target);
  }, { rootMargin: "600px" });
  charts.forEach((chart) => visible.observe(chart));

  // The other charts are drawn when the browser is idle; in a closed part a chart has no width yet.
  const idle = window.requestIdleCallback || ((then) => setTimeout(then, 1));
  async function drawTheRest() {
    for (const chart of charts) {
      if (chart.offsetParent !== null) await draw(chart);
      await new Promise((then) => idle(then));
    }
  }
  drawTheRest();

  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((d) => { d.open = true; });
    charts.forEach(draw);
  });

  // A player without its file is a grey button: a text says why.
  function missing(audio) {
    if (audio.nextElementSibling && audio.nextElementSibling.matches(".missing")) return;
    const words = document.createElement("p");
    words.className = "who missing";
    words.setAttribute("role", "status");
    words.textContent = "The audio was not found, or this browser cannot play it. " +
      "Keep the page in its folder and the music in its place.";
    audio.after(words);
  }
  document.querySelectorAll("audio").forEach((audio) => audio.addEventListener("error", () => missing(audio)));

  function value(row, column) {
    const words = row.cells[column].textContent.trim();
    const number = parseFloat(words.replace(/,/g, "").replace("−", "-"));
    return Number.isNaN(number) ? words : number;
  }

  function sort(table, header) {
    const down = header.getAttribute("aria-sort") !== "descending";
    table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0], column = header.cellIndex, sign = down ? -1 : 1;
    const order = (a, b) => {
      const x = value(a, column), y = value(b, column);
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;  // what was not measured comes last
      return sign * (typeof x === "number" ? x - y : x.localeCompare(y));
    };
    body.append(...[...body.rows].sort(order));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, header));
      header.append(button);
    }
  }

  // An opened table that is wider than its half of the page gets the full width.
  function spread(figures) {
    const block = figures.closest(".blocks > .block");
    if (!block) return;
    block.classList.remove("spread");
    const cramped = (table) => table.scrollWidth > table.clientWidth + 1;
    block.classList.toggle("spread", figures.open && [...figures.querySelectorAll(".scroll")].some(cramped));
  }
  const folded = document.querySelectorAll("details.figures");
  folded.forEach((figures) => figures.addEventListener("toggle", () => spread(figures)));
  addEventListener("resize", () => folded.forEach(spread));

  // The contents are open on wide screens; on phones they and the models are closed.
  const wide = matchMedia("(min-width: 1100px)"), contents = document.querySelector(".contents");
  const fit = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  if (matchMedia("(max-width: 40rem)").matches) {
    document.querySelectorAll("details.model").forEach((d) => { d.open = false; });
  }

  // The contents mark the section that is at the top third of the window.
  const links = new Map([...contents.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
  const current = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      links.get(target.id).toggleAttribute("aria-current", isIntersecting);
    }
  }, { rootMargin: "-33% 0px -66% 0px" });
  document.querySelectorAll("main > section").forEach((s) => { if (links.has(s.id)) current.observe(s); });

  // A link into a closed part opens it.
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const closed = target && target.closest("details");
    if (closed) { closed.open = true; target.scrollIntoView(); }
  }
  addEventListener("hashchange", open);
  open();
})();

// Draws each chart when it comes into sight or there is time, sorts tables, opens everything for paper.
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
    chart.dataset.drawn = "begun";
    const spec = JSON.parse(chart.querySelector("script").textContent);
    const plot = chart.querySelector(".plot");
    const tooltip = { theme: "custom" };  // its colours are the stylesheet's
    await vegaEmbed(plot, spec, { mode: "vega-lite", renderer: "svg", actions: false, config, tooltip });
    plot.addEventListener("click", (event) => tell(chart, event));
    const svg = plot.querySelector("svg");
    svg.removeAttribute("aria-hidden");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", chart.dataset.label);
    [...svg.children].forEach((child) => child.setAttribute("aria-hidden", "true"));
    plot.style.minHeight = "";
    chart.dataset.drawn = "done";
  }

  const NEAR = 24;  // px between a finger and the point that it meant

  // What was pressed stands in words under its chart: a finger cannot hover, and never hits a point exactly.
  function tell(chart, event) {
    const shown = chart.querySelector(".pressed");
    const away = (mark) => {
      const box = mark.getBoundingClientRect();
      const [x, y] = [event.clientX, event.clientY];
      return Math.hypot(x - Math.min(Math.max(x, box.left), box.right), y - Math.min(Math.max(y, box.top), box.bottom));
    };
    const told = (mark) => mark.__data__ && mark.__data__.tooltip;
    const marks = [...chart.querySelectorAll(".role-mark path")].filter(told);
    const hit = marks.includes(event.target) ? event.target : marks.reduce(
      (best, mark) => (away(mark) < (best ? away(best) : NEAR) ? mark : best), null,
    );
    if (!hit) { shown.textContent = ""; return; }
    const words = told(hit);
    shown.textContent = typeof words === "string" ? words : Object.entries(words).map(([k, v]) => `${k}: ${v}`).join(" · ");
  }

  const charts = [...document.querySelectorAll(".chart")];
  const sight = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) draw(target);
  }, { rootMargin: "600px" });
  charts.forEach((chart) => sight.observe(chart));

  // What is further down is drawn while the reader reads; in a closed part a chart has no width yet.
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

  // A player whose file is not there is a grey button: it says in words what to do.
  function missing(audio) {
    if (audio.nextElementSibling && audio.nextElementSibling.matches(".missing")) return;
    const words = document.createElement("p");
    words.className = "who missing";
    words.setAttribute("role", "status");
    words.textContent = "Not found from here, or not to be played by this browser: " +
      "the page must stay in its folder, and the music where it was.";
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
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;  // what was not measured stands last
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

  // Opened figures that need more room than their half of the page get all of it.
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

  // The contents stand open where there is room beside the page.
  const room = matchMedia("(min-width: 84rem)"), contents = document.querySelector(".contents");
  const fit = () => { contents.open = room.matches; };
  room.addEventListener("change", fit);
  fit();

  // A link into a closed part opens it.
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const closed = target && target.closest("details");
    if (closed) { closed.open = true; target.scrollIntoView(); }
  }
  addEventListener("hashchange", open);
  open();
})();

// What answers here and how good it is, one click away. The figures and the card are fetched by those who look.
import { byId } from "./dom.js";
import { aboutInShort, accuracyOf, current, testedOnFew } from "./models.js";
import { percent, say } from "./words.js";

const [box, button] = ["about", "about-button"].map(byId);

function draw() {
  const model = current();
  if (!model) return;
  button.textContent = aboutInShort(model);
  button.title = accuracyOf(model);
  const { accuracy, n } = model.metrics ?? {};
  const known = accuracy !== undefined && !testedOnFew(model);
  byId("about-brief").textContent = known ? say("about_brief", { name: model.name, percent: percent(accuracy), n }) : aboutInShort(model);
  if (box.open) drawFacts();
}

async function drawFacts() {
  (await import("./facts.js")).drawFacts(current());
}

box.addEventListener("toggle", () => box.open && current() && drawFacts());
button.addEventListener("click", () => {
  box.open = true;
  box.scrollIntoView({ block: "start" });
  box.querySelector("summary").focus({ preventScroll: true });
});
for (const event of ["language", "model"]) document.addEventListener(event, draw);

// The model and its accuracy in one line; its details are loaded when they are opened.
import { byId } from "./dom.js";
import { percent, t } from "./i18n.js";
import { accuracyText, current, hasFewTestTracks, nameWithAccuracy } from "./models.js";

const [box, button] = ["about", "about-button"].map(byId);

function draw() {
  const model = current();
  if (!model) return;
  button.textContent = nameWithAccuracy(model);
  button.title = accuracyText(model);
  const { accuracy, n } = model.metrics ?? {};
  const measured = accuracy !== undefined && !hasFewTestTracks(model);
  byId("about-brief").textContent = measured ? t("about_brief", { name: model.name, percent: percent(accuracy), n }) : nameWithAccuracy(model);
  if (box.open) drawDetails();
}

async function drawDetails() {
  (await import("./model-details.js")).drawDetails(current());
}

box.addEventListener("toggle", () => box.open && current() && drawDetails());
button.addEventListener("click", () => {
  box.open = true;
  box.scrollIntoView({ block: "start" });
  box.querySelector("summary").focus({ preventScroll: true });
});
for (const event of ["language", "model"]) document.addEventListener(event, draw);

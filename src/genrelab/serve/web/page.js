// Entry point: sets the language, loads the models, and waits for music.
import { Problem } from "./api.js";
import { classifyFile } from "./classify.js";
import { setLanguage } from "./i18n.js";
import { setUpInputs } from "./inputs.js";
import "./model-summary.js";
import { loadModels } from "./models.js";
import { seek, toggle } from "./player.js";
import { showProblem } from "./problem.js";
import { setTimelineActions } from "./timeline-strip.js";
import { takeTokenFromAddress } from "./token.js";

takeTokenFromAddress();
window.addEventListener("hashchange", () => {
  takeTokenFromAddress();
  start();
});
await setLanguage();
setTimelineActions({ onJump: seek, onToggle: toggle });
setUpInputs({
  onFile: classifyFile,
  // Loaded only when needed:
  onFiles: async (files, title) => (await import("./batch.js")).classifyFolder(files, title),
  onMicrophone: async () => (await import("./microphone.js")).useMicrophone(),
});
start();

async function start() {
  try {
    await loadModels();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    showProblem(problem, { onAgain: start });
  }
}

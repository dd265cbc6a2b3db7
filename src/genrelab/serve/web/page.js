// The page begins here: the language, the models, and then it waits for music.
import "./about.js";
import { Problem } from "./api.js";
import { waitForMusic } from "./choose.js";
import { loadModels } from "./models.js";
import { seek, toggle } from "./player.js";
import { listenToRibbon } from "./ribbon.js";
import { takeTokenFromAddress } from "./token.js";
import { showTrouble } from "./trouble.js";
import { hear } from "./upload.js";
import { speak } from "./words.js";

takeTokenFromAddress();
window.addEventListener("hashchange", () => {
  takeTokenFromAddress();
  start();
});
await speak();
listenToRibbon({ onJump: seek, onToggle: toggle });
waitForMusic({
  onFile: hear,
  // Most readers never need these two: they are fetched by those who do.
  onFiles: async (found, title) => (await import("./folder.js")).hearAll(found, title),
  onMicrophone: async () => (await import("./microphone.js")).useMicrophone(),
});
start();

async function start() {
  try {
    await loadModels();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    showTrouble(problem, { onAgain: start });
  }
}

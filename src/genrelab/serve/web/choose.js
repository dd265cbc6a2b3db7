// Ways in: the buttons, the choosers of files and folders, and whatever is dropped on the page.
import { byId } from "./dom.js";

/** @param onFile(file); @param onFiles([{path, file}], name of the folder or null); @param onMicrophone() */
export function waitForMusic({ onFile, onFiles, onMicrophone }) {
  byId("choose-file").addEventListener("click", () => byId("file").click());
  byId("choose-folder").addEventListener("click", () => byId("folder").click());
  byId("use-microphone").addEventListener("click", onMicrophone);
  byId("file").addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = ""; // the same file again is a change, too
    oneOrMore(files);
  });
  byId("folder").addEventListener("change", ({ target }) => {
    const found = [...target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
    target.value = "";
    if (found.length) onFiles(found, found[0].path.split("/")[0]);
  });
  waitForDrops(oneOrMore, onFiles);

  function oneOrMore(files) {
    if (files.length === 1) onFile(files[0]);
    else if (files.length) onFiles(files.map((file) => ({ file, path: file.name })), null);
  }
}

function waitForDrops(onLoose, onFiles) {
  const over = (on) => document.body.classList.toggle("dropping", on);
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
  document.addEventListener("drop", async (event) => {
    over(false);
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // the browser would leave the page for the file
    // All at once: after the first wait the items are gone.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...event.dataTransfer.files];
    if (!entries.some((entry) => entry.isDirectory)) return onLoose(files);
    const found = (await Promise.all(entries.map(below))).flat();
    onFiles(found, entries.length === 1 ? entries[0].name : null);
  });
}

/** Files of an entry and, if it is a folder, of all below it; what cannot be read is left out. */
async function below(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    return file ? [{ path, file }] : [];
  }
  const [reader, found] = [entry.createReader(), []];
  for (;;) {
    // A folder is told in portions, of a hundred mostly, until one is empty.
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return found;
    for (const each of some) if (!each.name.startsWith(".")) found.push(...(await below(each)));
  }
}

// The ways to give music: buttons, file and folder choosers, and drag and drop.
import { byId } from "./dom.js";

/** @param onFile(file); @param onFiles([{path, file}], name of the folder or null); @param onMicrophone() */
export function setUpInputs({ onFile, onFiles, onMicrophone }) {
  byId("choose-file").addEventListener("click", () => byId("file").click());
  byId("choose-folder").addEventListener("click", () => byId("folder").click());
  byId("use-microphone").addEventListener("click", onMicrophone);
  byId("file").addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = ""; // so that choosing the same file again is a change
    oneOrMore(files);
  });
  byId("folder").addEventListener("change", ({ target }) => {
    const found = [...target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
    target.value = "";
    if (found.length) onFiles(found, found[0].path.split("/")[0]);
  });
  setUpDrop(oneOrMore, onFiles);

  function oneOrMore(files) {
    if (files.length === 1) onFile(files[0]);
    else if (files.length) onFiles(files.map((file) => ({ file, path: file.name })), null);
  }
}

function setUpDrop(onLooseFiles, onFiles) {
  const highlight = (on) => document.body.classList.toggle("dropping", on);
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    highlight(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && highlight(false));
  document.addEventListener("drop", async (event) => {
    highlight(false);
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // else the browser would open the file instead of this page
    // Read at once: after the first await the items are gone.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...event.dataTransfer.files];
    if (!entries.some((entry) => entry.isDirectory)) return onLooseFiles(files);
    const found = (await Promise.all(entries.map(filesIn))).flat();
    onFiles(found, entries.length === 1 ? entries[0].name : null);
  });
}

/** The file of an entry, or all files below a folder; unreadable ones are left out. */
async function filesIn(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    return file ? [{ path, file }] : [];
  }
  const [reader, found] = [entry.createReader(), []];
  for (;;) {
    // readEntries returns the entries in portions, and an empty one at the end.
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!some.length) return found;
    for (const each of some) if (!each.name.startsWith(".")) found.push(...(await filesIn(each)));
  }
}

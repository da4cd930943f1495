// The files that a person chose or dropped, folders included, as a list.

/** @returns {{path: string, file: File}[]} what was chosen with a button */
export function chosenFiles(list) {
  return distinct([...list].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/** @returns {Promise<{path: string, file: File}[]>} what was dropped */
export async function droppedFiles(transfer) {
  // What was dropped is there to be asked for at once, and not any more later.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return chosenFiles(transfer.files);
  const found = [];
  for (const entry of entries) await gather(entry, "", found);
  return distinct(found);
}

async function gather(entry, folder, found) {
  const path = folder + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ path, file });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const inner of some) await gather(inner, `${path}/`, found);
  }
}

/** Files of two folders may have the same name. */
function distinct(files) {
  const used = new Set();
  return files.map(({ path, file }) => {
    const dot = path.lastIndexOf(".");
    const at = dot > path.lastIndexOf("/") + 1 ? dot : path.length;
    let own = path;
    for (let number = 2; used.has(own); number += 1) {
      own = `${path.slice(0, at)} (${number})${path.slice(at)}`;
    }
    used.add(own);
    return { path: own, file };
  });
}

// Lists the files that the user has chosen or dropped, including those in folders.

/** @returns {{path: string, file: File}[]} the files chosen with a button */
export function chosenFiles(list) {
  return distinct([...list].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
}

/** @returns {Promise<{path: string, file: File}[]>} the dropped files */
export async function droppedFiles(transfer) {
  // The dropped items are only available synchronously.
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

/** Number equal paths: files of two folders may have the same name. */
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

// The page's own storage, which the browser keeps: a folder for this tab, removed when it is gone.

const ROOT = "icefloe-files";

export class Storage {
  #number = 0;

  constructor(folder) {
    this.folder = folder;
  }

  /** Whether the browser has such a storage for this page. */
  static get isThere() {
    return typeof navigator.storage?.getDirectory === "function" && "locks" in navigator;
  }

  /** Make a folder for this tab. */
  static async open() {
    const root = await rootFolder();
    const name = `${ROOT}-${crypto.randomUUID()}`;
    // Held until the tab is gone, which is how others know.
    const { promise: isHeld, resolve } = Promise.withResolvers();
    navigator.locks.request(name, () => {
      resolve();
      return new Promise(() => {});
    });
    await isHeld;
    return new Storage(await root.getDirectoryHandle(name, { create: true }));
  }

  /** Remove what tabs have left that are gone. */
  static async clean() {
    if (!Storage.isThere) return;
    const root = await rootFolder();
    for await (const name of root.keys()) {
      await navigator.locks.request(name, { ifAvailable: true }, (lock) =>
        lock ? root.removeEntry(name, { recursive: true }) : null,
      );
    }
  }

  freshName() {
    this.#number += 1;
    return `${this.#number}.part`;
  }
}

async function rootFolder() {
  const storage = await navigator.storage.getDirectory();
  return storage.getDirectoryHandle(ROOT, { create: true });
}

// The origin private file system: a folder for this tab, removed after the tab was closed.

const ROOT = "icefloe-files";

export class Storage {
  #number = 0;

  constructor(folder) {
    this.folder = folder;
  }

  /** Whether the browser supports it for this page. */
  static get isThere() {
    return typeof navigator.storage?.getDirectory === "function" && "locks" in navigator;
  }

  /** Create a folder for this tab. */
  static async open() {
    const root = await rootFolder();
    const name = `${ROOT}-${crypto.randomUUID()}`;
    // The lock is held until the tab is closed, which shows other tabs that it is still open.
    const { promise: isHeld, resolve } = Promise.withResolvers();
    navigator.locks.request(name, () => {
      resolve();
      return new Promise(() => {});
    });
    await isHeld;
    return new Storage(await root.getDirectoryHandle(name, { create: true }));
  }

  /** Remove the folders of closed tabs. */
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

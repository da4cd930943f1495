// The other side in a browser's page; report() is the driver's binding.

import { Far } from "./far.mjs";

let clock = 0;
const far = new Far((event, details = {}) =>
  report({ event, at: performance.now() / 1000 + clock, ...details }),
);

globalThis.lab = {
  handle(message) {
    if (message.do === "start") clock = message.clock;
    far.handle(message);
  },
};

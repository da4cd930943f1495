// A peer of the data benchmark in a browser's page; report() is the driver's binding.

import { Peer } from "./chromium.mjs";
import { follow } from "./traffic.mjs";

let clock = 0;
let chain = Promise.resolve();
const now = () => performance.now() / 1000 + clock; // the machine's, which all peers share
const emit = (event, details = {}) => report({ event, at: now(), ...details });
const handle = follow(new Peer(emit), emit, now);

globalThis.lab = {
  handle(message) {
    if (message.do === "start") clock = message.clock;
    chain = chain
      .then(() => handle(message))
      .catch((error) => emit("error", { text: `${message.do}: ${error}` }));
  },
};

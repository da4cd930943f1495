// What the benchmarks' peers in a browser's page have in common; report() is the driver's binding.

let clock = 0;
let chain = Promise.resolve();
const now = () => performance.now() / 1000 + clock; // the machine's, which all peers share
const emit = (event, details = {}) => report({ event, at: now(), ...details });

// Does what the driver says, in turn; make() returns the function that does it.
export function run(make) {
  const handle = make(emit, now);
  globalThis.lab = {
    handle(message) {
      if (message.do === "start") clock = message.clock;
      chain = chain
        .then(() => handle(message))
        .catch((error) => emit("error", { text: `${message.do}: ${error}` }));
    },
  };
}

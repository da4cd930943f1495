// PeerServer on a free port, with room for as many clients as a benchmark has.

import { PeerServer } from "peer";

const options = { host: "127.0.0.1", port: 0, concurrent_limit: 100000, alive_timeout: 3600000 };

PeerServer(options, (server) => console.log(`ws://127.0.0.1:${server.address().port}`));
process.stdin.on("end", () => process.exit(0)).resume();

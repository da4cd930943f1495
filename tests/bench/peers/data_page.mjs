// A peer of the data benchmark in a browser's page.

import { Peer } from "./chromium.mjs";
import { run } from "./page.mjs";
import { follow } from "./traffic.mjs";

run((emit, now) => follow(new Peer(emit), emit, now));

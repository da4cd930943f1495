// The rate of a transfer, and sizes and times as text. No I/O: time is passed in.

/** Milliseconds over which the rate is averaged. */
const SPAN_MS = 5000;

export class Rate {
  #seen = [];

  /** @param {number} bytes so far @param {number} now milliseconds on a monotonic clock */
  add(bytes, now) {
    this.#seen.push({ bytes, now });
    // One sample before the span is kept, so that the samples cover the whole span.
    while (this.#seen.length > 2 && this.#seen[1].now < now - SPAN_MS) this.#seen.shift();
  }

  /** Bytes per second, or null while there are too few samples. */
  get perSecond() {
    const [first] = this.#seen;
    const last = this.#seen.at(-1);
    if (!first || last.now - first.now < 250) return null;
    return ((last.bytes - first.bytes) * 1000) / (last.now - first.now);
  }
}

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** A size as text, such as "1.5 MB". */
export function sizeWords(bytes) {
  let amount = bytes;
  let unit = 0;
  for (; amount >= 999.5 && unit < UNITS.length - 1; unit += 1) amount /= 1000;
  if (unit === 0) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  return `${amount.toFixed(amount < 9.95 ? 1 : 0)} ${UNITS[unit]}`;
}

/** A duration as text, such as "2 min 10 s". */
export function timeWords(seconds) {
  if (seconds < 1) return "less than a second";
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return all % 60 && minutes < 10 ? `${minutes} min ${all % 60} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

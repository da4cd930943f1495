// Transfers over a data channel: runs the state machines, the workers and the channel.

import { failed, TransferError, violation } from "./errors.js";
import { BLOCK, decodeFromReceiver, decodeFromSender, encode } from "./protocol.js";
import { Receiver } from "./receiver.js";
import { Sender } from "./sender.js";
import { Source } from "./source.js";

/**
 * Send files over a channel of their own, and close the channel.
 *
 * @param {Channel} channel the channel, opened for this transfer
 * @param {{path: string, file: File}[]} files
 * @param {number} limit the largest message that the remote peer accepts, in bytes
 * @param {AbortSignal} signal stops the transfer; the receiver is told
 * @param {(machine: Sender) => void} onprogress called when the transfer has begun, and whenever
 *   the receiver has acknowledged more
 * @throws {TransferError} `declined`, `failed`, or `broken`: send again to continue
 */
export async function sendFiles(channel, files, limit, signal, onprogress) {
  const entries = files.map(({ path, file }) => {
    return { path, size: file.size, lastModified: file.lastModified };
  });
  const machine = new Sender(entries, Math.min(BLOCK, limit));
  const source = new Source();
  const stop = () => {
    machine.fail(failed("cancelled", "the sender stopped it"));
    sayLast(channel, machine);
    channel.stop();
  };
  signal.addEventListener("abort", stop);
  const take = () => {
    while (channel.hasMore) read(channel, machine);
    onprogress(machine);
  };
  try {
    while (machine.state !== "finished") {
      const step = machine.next();
      if (step !== null) await act(step, { channel, machine, files, source });
      else if (machine.error) throw machine.error;
      else await channel.readable();
      if (channel.hasMore) take();
      else if (step === null && channel.hasEnded) throw machine.error ?? broken();
    }
  } catch (error) {
    // The last message from the receiver may have the reason.
    while (channel.hasMore) read(channel, machine);
    throw machine.error ?? error;
  } finally {
    signal.removeEventListener("abort", stop);
    source.close();
    await channel.close();
  }
}

function read(channel, machine) {
  try {
    // A message is there, so take() does not wait.
    machine.receive(decodeFromReceiver(channel.take()));
  } catch (error) {
    if (!(error instanceof TransferError)) throw error;
    machine.fail(error);
  }
}

function sayLast(channel, machine) {
  for (let step = machine.next(); step !== null; step = machine.next()) {
    if (step.do === "say" && !channel.hasEnded) channel.trySend(encode(step.message));
  }
}

async function act(step, { channel, machine, files, source }) {
  if (step.do === "say") {
    await channel.send(encode(step.message));
    return;
  }
  const { path, file } = files[step.index];
  try {
    if (step.do === "open") {
      machine.opened(step.index, await source.open(file, step.kept));
    } else {
      const { data, digest } = await source.read(step.size);
      machine.read(data, digest);
    }
  } catch (error) {
    if (!(error instanceof TransferError)) throw error;
    machine.fail(failed(error.code, error.detail, path));
  }
}

function broken() {
  return new TransferError("broken", "The connection ended.");
}

/** Files that the remote peer wants to send. */
export class Offer {
  #channel;
  #machine;
  #isAnswered = false;
  /** The index of a file with data that may not be written yet, or null. */
  #unwritten = null;

  constructor(channel, machine) {
    this.#channel = channel;
    this.#machine = machine;
    this.entries = machine.entries;
    this.size = machine.size;
  }

  /**
   * Receive an offer over a channel that the remote peer opened for it.
   *
   * @throws {TransferError} the offer is invalid, which the sender is told, or the connection ended
   */
  static async read(channel) {
    const machine = new Receiver();
    const offer = new Offer(channel, machine);
    while (machine.state === "listening") {
      const message = await channel.receive();
      try {
        await offer.#run(machine.receive(decodeFromSender(message)), null, () => {});
      } catch (error) {
        if (error.kind !== "failed") throw error;
        await offer.fail(error);
      }
    }
    if (machine.error) {
      await channel.close();
      throw machine.error;
    }
    offer.size = machine.size;
    return offer;
  }

  async decline(reason) {
    this.#isAnswered = true;
    await this.#run(this.#machine.decline(reason), null, () => {});
    await this.#channel.close();
  }

  /** Tell the sender why the files cannot be received. */
  async fail(error) {
    this.#isAnswered = true;
    await this.#run(this.#machine.fail(error), null, () => {});
    await this.#channel.close();
  }

  /** Wait until the sender withdraws the offer or is gone; before the offer is answered. */
  async withdrawn() {
    await this.#channel.readable();
    if (this.#isAnswered) return;
    this.#machine.receive(decodeFromSender(await this.#channel.receive()));
    throw this.#machine.error ?? violation("a sender went on without an answer");
  }

  /**
   * Receive the files.
   *
   * @param {Destination} destination the destination of the files
   * @param {AbortSignal} signal stops the transfer; the sender is told
   * @param {(machine: Receiver) => void} onprogress called whenever more bytes are written
   * @throws {TransferError} `failed`, or `broken`: the transfer can be resumed
   */
  async accept(destination, signal, onprogress) {
    this.#isAnswered = true;
    const channel = this.#channel;
    const machine = this.#machine;
    const say = (steps) => {
      for (const { message } of steps) if (!channel.hasEnded) channel.trySend(encode(message));
    };
    const stop = () => {
      say(machine.fail(failed("cancelled", "the receiver stopped it")));
      channel.stop();
    };
    signal.addEventListener("abort", stop);
    try {
      await this.#run(machine.accept(await destination.kept()), destination, onprogress);
      onprogress(machine);
      while (machine.state === "receiving") {
        if (!channel.hasMore) await this.#flush(destination, onprogress);
        const steps = machine.receive(decodeFromSender(await channel.receive()));
        await this.#run(steps, destination, onprogress);
      }
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      if (error.kind === "failed") say(machine.fail(error));
      throw machine.error ?? error;
    } finally {
      signal.removeEventListener("abort", stop);
      await channel.close();
    }
    if (machine.error) throw machine.error;
  }

  async #flush(destination, onprogress) {
    if (this.#unwritten === null) return;
    const index = this.#unwritten;
    this.#unwritten = null;
    await this.#run(this.#machine.written(index, await destination.flush()), destination, onprogress);
    onprogress(this.#machine);
  }

  async #run(steps, destination, onprogress) {
    const machine = this.#machine;
    for (const step of steps) {
      const { index } = step;
      let more = [];
      if (step.do === "say") {
        await this.#channel.send(encode(step.message));
      } else if (step.do === "open") {
        await destination.open(index, step.offset);
      } else if (step.do === "write") {
        this.#unwritten = index;
        more = machine.written(index, await destination.write(step.data));
        onprogress(machine);
      } else if (step.do === "close") {
        await this.#flush(destination, onprogress);
        await destination.close(index, step.size, step.hash);
        more = machine.closed(index);
      } else {
        await destination.complete();
        more = machine.completed();
      }
      await this.#run(more, destination, onprogress);
    }
  }
}

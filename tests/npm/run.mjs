/**
 * Runs cases: a line `{"file", "name", "at"}` on standard input is answered by a line, `null` or what went wrong.
 *
 * It must never let a client reach anything but this machine.
 */

import { Console } from 'node:console';
import net from 'node:net';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import { inspect } from 'node:util';

const { connect } = net.Socket.prototype;

net.Socket.prototype.connect = function connectHere(...given) {
  const first = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (first?.host !== '127.0.0.1') {
    throw new Error(`a client wanted to connect to ${first?.host ?? first?.path}`);
  }
  return connect.apply(this, given);
};
globalThis.console = new Console(process.stderr); // what clients say is no answer

async function complaintOf({ file, name, at }) {
  try {
    const cases = await import(`./${file}`); // after the guard, so that no client can have kept what it replaced
    await cases[name](at);
    await setImmediate(); // a rejection that nobody handles ends this process, and fails the case
    return null;
  } catch (error) {
    return inspect(error).slice(0, 10_000);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await complaintOf(JSON.parse(line)))}\n`);
}

/**
 * Runs cases: for each line `{"file", "name", "at"}` on standard input it writes a line, `null` or the failure.
 *
 * Clients may connect to this machine only.
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
globalThis.console = new Console(process.stderr); // because stdout is for the results

async function failureOf({ file, name, at }) {
  try {
    const cases = await import(`./${file}`); // after the guard, so that no client has a reference to the original `connect`
    await cases[name](at);
    await setImmediate(); // an unhandled rejection ends this process, and fails the case
    return null;
  } catch (error) {
    return inspect(error).slice(0, 10_000);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await failureOf(JSON.parse(line)))}\n`);
}

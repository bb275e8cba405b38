/**
 * Loaded before the program of a Pod: blocks the event loop when the test asks for it. It uses a channel of its own, so that the
 * program's messages stay its own and the channel does not keep the program alive.
 */
import { Socket } from "node:net";
import { controlVariable } from "./pod-protocol.ts";

const descriptor = process.env[controlVariable];

if (descriptor !== undefined) {
  // Programs that this one starts have no such channel.
  delete process.env[controlVariable];
  const channel = new Socket({ fd: Number(descriptor) });
  const never = new Int32Array(new SharedArrayBuffer(4));
  let buffered = "";
  channel.on("error", () => undefined);
  channel.on("data", (chunk: Buffer) => {
    const lines = (buffered + chunk.toString()).split("\n");
    buffered = lines.pop() ?? "";
    for (const line of lines) {
      // Written to the kernel before the loop stands still: libuv tries a write at once.
      channel.write(`blocking ${line}\n`);
      Atomics.wait(never, 0, 0, Number(line));
    }
  });
  channel.unref();
}

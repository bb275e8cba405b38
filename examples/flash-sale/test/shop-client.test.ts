import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { ShopClient } from "../src/shop-client.ts";

const servers: Server[] = [];

async function serverThat(answers: (turn: number) => number | null): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += String(chunk)));
    request.on("end", () => {
      asked.push(text);
      const status = answers(asked.length);
      if (status === null) return void request.socket.destroy();
      response.statusCode = status;
      response.end(JSON.stringify(`cart ${asked.length}`));
    });
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

describe("a buyer's request", () => {
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });

  it("is sent again, the same, after a broken connection, a failure, and an answer that the network lost", async () => {
    const statuses = [null, 500, 200, 200];
    const { url, asked } = await serverThat((turn) => statuses[turn - 1] ?? null);
    const client = new ShopClient([url]);
    expect(await client.post("/cart", { request: "a-1" }, true)).toBe("cart 4");
    expect(asked).toEqual(Array.from({ length: 4 }, () => '{"request":"a-1"}'));
    expect(client.repeats).toBe(3);
    client.close();
  });

  it("goes to the next replica when one is gone", async () => {
    const gone = await serverThat(() => 200);
    servers[0]?.close();
    const { url, asked } = await serverThat(() => 200);
    const client = new ShopClient([url, gone.url]);
    expect(await client.post("/cart", {}, false)).toBe("cart 1");
    expect(asked).toHaveLength(1);
    client.close();
  });
});

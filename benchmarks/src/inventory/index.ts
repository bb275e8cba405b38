/** The inventory against the script of every blog, and against DTM's. */
import type { Benchmark } from "../figure.ts";
import { basket, requests } from "./basket.ts";
import { orders } from "./orders.ts";
import { memory, remembered } from "./remembered.ts";

/** All figures of the inventory. */
export const inventory: Benchmark = {
  name: "inventory",
  peers: ["ioredis"],
  figures: [...orders, basket, requests, remembered, memory],
};

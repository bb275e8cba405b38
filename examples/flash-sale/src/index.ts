/**
 * The scenario for the demo: `npm run demo -- --only flash-sale`.
 */
export { flashSale } from "./flash-sale.ts";

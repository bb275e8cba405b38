/**
 * Owns the form of requests; what does not have it is answered with 400.
 */

const AMOUNT_MAX_CENTS = 100_000_000;
const LINES_MAX = 50;
const QUANTITY_MAX = 1_000;

const linesSchema = {
  type: "array",
  minItems: 1,
  maxItems: LINES_MAX,
  items: {
    type: "object",
    required: ["sku", "quantity"],
    additionalProperties: false,
    properties: {
      sku: { type: "string", minLength: 1, maxLength: 64 },
      quantity: { type: "integer", minimum: 1, maximum: QUANTITY_MAX },
    },
  },
} as const;

/** The body of a new order; with lines, where there is a stock. */
export function newOrderSchema(takesLines: boolean): object {
  return {
    type: "object",
    required: takesLines ? ["amountCents", "lines"] : ["amountCents"],
    additionalProperties: false,
    properties: {
      amountCents: { type: "integer", minimum: 1, maximum: AMOUNT_MAX_CENTS },
      ...(takesLines ? { lines: linesSchema } : {}),
    },
  };
}

/** The path of an order. */
export const orderIdSchema = {
  type: "object",
  required: ["id"],
  properties: { id: { type: "string", format: "uuid" } },
} as const;

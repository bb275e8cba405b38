/**
 * Words with a space between them, the form of records and movements. Whatever a caller chose (ids, skus, reasons) is escaped so that it
 * is one word and never the word "#", which separates, nor a field of the stock hash that is not a sku's.
 */

// oxlint-disable-next-line no-control-regex -- exactly these end a word in Lua, or mean something in a record
const special = /[\u0000- #%\u007f]/gu;
// oxlint-disable-next-line no-control-regex -- the same, without a place to remember between two tests
const anySpecial = /[\u0000- #%\u007f]/u;

/** Stands for "none", and between lists. */
export const none = "#";

/** One word. */
export function escapeWord(text: string): string {
  if (!anySpecial.test(text)) return text;
  return text.replace(
    special,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
}

/** What `escapeWord` was given. */
export function unescapeWord(word: string): string {
  if (!word.includes("%")) return word;
  return word.replaceAll(/%([0-9A-F]{2})/gu, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

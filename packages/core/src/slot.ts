/** The Cluster slot of a key. */

const slotCount = 16_384;

/** Of each byte, since one name is hashed for every call of an idempotency key. */
const remainders = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit += 1)
    crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff;
  return crc;
});

/** CRC-16/XMODEM, as the Redis Cluster specification defines it (appendix A), of a text in which each character is a byte. */
function crc16(bytes: string): number {
  let crc = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    crc = ((crc << 8) & 0xffff) ^ (remainders[(crc >> 8) ^ bytes.charCodeAt(at)] as number);
  }
  return crc;
}

/** The bytes of a text as characters: those of ASCII, which most keys are, as they stand. */
function bytesOf(text: string): string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString("latin1");
}

/** 0 to 16383; only what stands in the first pair of braces counts, when it is not empty. */
export function slotOf(key: string): number {
  const tag = key.includes("{") ? /^[^{]*\{([^}]+)\}/u.exec(key)?.[1] : undefined;
  return crc16(bytesOf(tag ?? key)) % slotCount;
}

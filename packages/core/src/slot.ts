/** The Cluster slot of a key. */

const slotCount = 16_384;

/** CRC-16/XMODEM, as the Redis Cluster specification defines it (appendix A). */
function crc16(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff;
  }
  return crc;
}

/** 0 to 16383; only what stands in the first pair of braces counts, when it is not empty. */
export function slotOf(key: string): number {
  const tag = /^[^{]*\{([^}]+)\}/u.exec(key)?.[1];
  return crc16(Buffer.from(tag ?? key)) % slotCount;
}

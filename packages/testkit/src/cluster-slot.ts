/**
 * Hash slots of Redis Cluster.
 */

/** How many hash slots a cluster has. */
export const slotCount = 16_384;

/** The hash slot of a key: CRC16 of what stands between the first `{` and the next `}`, or of the whole key when that is empty. */
export function slotOfKey(key: string): number {
  const open = key.indexOf("{");
  const close = open === -1 ? -1 : key.indexOf("}", open + 1);
  return crc16(close > open + 1 ? key.slice(open + 1, close) : key) % slotCount;
}

/** CRC-16/XMODEM: polynomial 0x1021, start 0. */
function crc16(text: string): number {
  let crc = 0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x80_00) === 0 ? crc << 1 : (crc << 1) ^ 0x10_21;
    crc &= 0xff_ff;
  }
  return crc;
}

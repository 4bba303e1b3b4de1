// Bytes travel as lower-case hex. An odd or foreign digit is an error here,
// where Buffer.from would stop reading without a word.

export function bytes(s) {
  if (typeof s !== 'string') throw new TypeError('hex string expected');
  const b = Buffer.from(s, 'hex');
  if (b.length * 2 !== s.length) throw new TypeError('bad hex string');
  return b;
}

// plain turns a result into what JSON can carry: bytes become hex, big
// integers become decimal strings.
export function plain(v) {
  if (v instanceof Uint8Array) return Buffer.from(v.buffer, v.byteOffset, v.byteLength).toString('hex');
  if (typeof v === 'bigint') return v.toString();
  if (Array.isArray(v)) return v.map(plain);
  if (v && typeof v === 'object') {
    return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
  }
  return v;
}

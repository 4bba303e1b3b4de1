// Incremental MACs. Data is given as its length and the bytes that it repeats,
// and goes in by pieces, so that much of it need not travel.
import { part } from './library.mjs';
import { bytes } from './hex.mjs';

const mac = await part('incremental_mac');

// choice is a chunk size, or 0 for the one that is inferred.
const choice = (r) => (r.chunkSize ? mac.everyNthByte(r.chunkSize) : mac.inferChunkSize(r.size));

function* pieces({ data, size, piece }) {
  const pattern = bytes(data);
  const at = (offset, n) => {
    const out = Buffer.allocUnsafe(n);
    if (pattern.length === size) {
      pattern.copy(out, 0, offset, offset + n);
      return out;
    }
    const from = offset % pattern.length;
    const first = Math.min(n, pattern.length - from);
    pattern.copy(out, 0, from, from + first);
    if (n > first) out.fill(pattern, first);
    return out;
  };
  for (let offset = 0; offset < size; offset += piece) yield at(offset, Math.min(piece, size - offset));
}

// pump writes all pieces into a stream and returns how many bytes came out, and
// how it failed.
function pump(stream, r) {
  return new Promise((resolve) => {
    let out = 0;
    stream.on('data', (b) => { out += b.length; });
    stream.on('error', (e) => resolve({ out, failed: e }));
    stream.on('end', () => resolve({ out }));
    const all = pieces(r);
    const next = () => {
      for (;;) {
        const { value, done } = all.next();
        if (done) return stream.end();
        if (stream.destroyed) return;
        if (!stream.write(value)) return stream.once('drain', next);
      }
    };
    next();
  });
}

export const ops = {
  // chunkSize {size} → {chunkSize}
  chunkSize: (r) => ({ chunkSize: mac.chunkSizeInBytes(mac.inferChunkSize(r.size)) }),
  // incrementalMac {key, chunkSize, data, size, piece} → {bytes}
  incrementalMac: async (r) => {
    const stream = new mac.DigestingPassThrough(bytes(r.key), choice(r));
    const { failed } = await pump(stream, r);
    if (failed) throw failed;
    return { bytes: stream.getFinalDigest() };
  },
  // verifyIncrementalMac {…, macs} → {released, failed}: how many bytes came out,
  // and the error, empty where there is none
  verifyIncrementalMac: async (r) => {
    const stream = new mac.ValidatingPassThrough(bytes(r.key), choice(r), bytes(r.macs));
    const { out, failed } = await pump(stream, r);
    return { released: out, failed: failed ? String(failed.message || failed) : '' };
  },
};

// Safety numbers.
import { lib } from './library.mjs';
import { bytes } from './hex.mjs';
import { pub } from './codecs.mjs';

const scannable = (h) => lib.ScannableFingerprint._fromBuffer(bytes(h));

export const ops = {
  // fingerprint {iterations, version, local, remote: {id, key}} → {displayable, scannable}
  fingerprint: ({ iterations, version, local, remote }) => {
    const f = lib.Fingerprint.new(
      iterations, version, bytes(local.id), pub(local.key), bytes(remote.id), pub(remote.key));
    return {
      displayable: f.displayableFingerprint().toString(),
      scannable: f.scannableFingerprint().toBuffer(),
    };
  },
  // compareFingerprints {ours, theirs}, both scannable → {valid}
  compareFingerprints: (r) => ({ valid: scannable(r.ours).compare(scannable(r.theirs)) }),
};

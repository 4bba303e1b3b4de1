// Retries: a request for a message that could not be decrypted, and reading one.
import { lib } from './library.mjs';
import { bytes } from './hex.mjs';
import { addressOf, partyOf } from './party.mjs';

export const ops = {
  // requestRetry {type, bytes, sentAt, device} of the failed message → {type, bytes}
  requestRetry: (r) => {
    const failed = lib.DecryptionErrorMessage.forOriginal(bytes(r.bytes), r.type, r.sentAt, r.device);
    const m = lib.PlaintextContent.from(failed).asCiphertextMessage();
    return { type: m.type(), bytes: m.serialize() };
  },
  // readRetry {party, remote, bytes} → what it asks for, and whether the current
  // session with remote is the one that failed
  readRetry: async (r) => {
    const content = lib.PlaintextContent.deserialize(bytes(r.bytes));
    const failed = lib.DecryptionErrorMessage.extractFromSerializedBody(content.body());
    const key = failed.ratchetKey();
    const record = await partyOf(r).stores.session.getSession(addressOf(r.remote));
    return {
      sentAt: failed.timestamp(),
      device: failed.deviceId(),
      ratchetKey: key?.serialize() ?? null,
      current: Boolean(key && record?.currentRatchetKeyMatches(key)),
    };
  },
};

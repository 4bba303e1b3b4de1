// Sender keys: messages to a group, and the records of those who write in it.
import { lib } from './library.mjs';
import { bytes } from './hex.mjs';
import { addressOf, partyOf } from './party.mjs';

export const ops = {
  // senderKeyDistribution {party, distributionId} → {bytes}
  senderKeyDistribution: async (r) => {
    const p = partyOf(r);
    const m = await lib.SenderKeyDistributionMessage.create(p.address, r.distributionId, p.stores.senderKey);
    return { bytes: m.serialize() };
  },
  processSenderKey: async (r) => {
    const m = lib.SenderKeyDistributionMessage.deserialize(bytes(r.bytes));
    await lib.processSenderKeyDistributionMessage(addressOf(r.remote), m, partyOf(r).stores.senderKey);
  },
  groupEncrypt: async (r) => {
    const p = partyOf(r);
    const c = await lib.groupEncrypt(p.address, r.distributionId, p.stores.senderKey, bytes(r.plaintext));
    return { type: c.type(), bytes: c.serialize() };
  },
  groupDecrypt: async (r) => ({
    plaintext: await lib.groupDecrypt(addressOf(r.remote), partyOf(r).stores.senderKey, bytes(r.bytes)),
  }),
  getSenderKey: async (r) => {
    const record = await partyOf(r).stores.senderKey.getSenderKey(addressOf(r.remote), r.distributionId);
    return { record: record ? record.serialize() : null };
  },
  // setSenderKey {party, remote, distributionId, record}; record null forgets it
  setSenderKey: async (r) => {
    const { senderKey } = partyOf(r).stores;
    const address = addressOf(r.remote);
    if (r.record === null || r.record === undefined) senderKey.map.delete(senderKey.key(address, r.distributionId));
    else await senderKey.saveSenderKey(address, r.distributionId, lib.SenderKeyRecord.deserialize(bytes(r.record)));
  },
};

// Parties: a name, an address, stores, and the 1:1 protocol between them.
import { lib, since } from './library.mjs';
import { bytes } from './hex.mjs';
import { identity, pub } from './codecs.mjs';
import { open } from './stores.mjs';

const parties = new Map();

// The local address follows the remote one: since 0.91 where field 6 is written
// or begins a session, since 0.93 everywhere.
export const local = (p) => (since(0, 91) ? [p.address] : []);
const local93 = (p) => (since(0, 93) ? [p.address] : []);
// Releases in which the new ratchet was optional ask for it.
const ratchet = lib?.UsePQRatchet ? [lib.UsePQRatchet.Yes] : [];
const when = (now) => (now === undefined || now === null ? undefined : new Date(now));

export const addressOf = ({ name, device }) => lib.ProtocolAddress.new(name, device);

export function partyOf(r) {
  const p = parties.get(r.party);
  if (!p) throw new TypeError(`no party ${r.party}`);
  return p;
}

function newParty(r) {
  if (typeof r.party !== 'string' || !r.party) throw new TypeError('a party needs a handle');
  const p = { identity: r.identity ? identity(r.identity) : lib.IdentityKeyPair.generate() };
  p.registrationId = r.registrationId;
  p.address = addressOf(r);
  p.log = r.log ? [] : null;
  p.note = (call, what) => { if (p.log) p.log.push({ call, ...what }); };
  p.nextId = 1;
  p.stores = open(p);
  parties.set(r.party, p);
  return {
    identity: p.identity.publicKey.serialize(),
    identityPrivate: p.identity.privateKey.serialize(),
  };
}

function signedPreKey(p, id, now) {
  const key = lib.PrivateKey.generate();
  const signature = p.identity.privateKey.sign(key.getPublicKey().serialize());
  return lib.SignedPreKeyRecord.new(id, now, key.getPublicKey(), key, signature);
}

function kyberPreKey(p, id, now) {
  const pair = lib.KEMKeyPair.generate();
  const signature = p.identity.privateKey.sign(pair.getPublicKey().serialize());
  return lib.KyberPreKeyRecord.new(id, now, pair, signature);
}

// makeBundle draws fresh keys, stores their private halves and returns the
// public ones. A signed or KEM id that the store already holds is reused with
// its key, as a server does that hands out the same signed prekey again.
async function makeBundle(r) {
  const p = partyOf(r);
  const now = r.now ?? Date.now();
  const { signedPreKey: sps, kyberPreKey: kps, preKey: ops } = p.stores;
  const sid = r.signedPreKeyId ?? p.nextId++;
  if (!sps.records.map.has(sid)) await sps.saveSignedPreKey(sid, signedPreKey(p, sid, now));
  const kid = r.kyberPreKeyId ?? p.nextId++;
  if (!kps.records.map.has(kid)) await kps.saveKyberPreKey(kid, kyberPreKey(p, kid, now));
  if (r.lastResort) kps.lastResort.add(kid);
  const spk = await sps.getSignedPreKey(sid);
  const kpk = await kps.getKyberPreKey(kid);
  const out = {
    registrationId: p.registrationId,
    device: p.address.deviceId(),
    identityKey: p.identity.publicKey.serialize(),
    signedPreKeyId: sid,
    signedPreKey: spk.publicKey().serialize(),
    signedPreKeySignature: spk.signature(),
    kyberPreKeyId: kid,
    kyberPreKey: kpk.publicKey().serialize(),
    kyberPreKeySignature: kpk.signature(),
    lastResort: kps.lastResort.has(kid),
  };
  if (r.oneTime) {
    const key = lib.PrivateKey.generate();
    out.preKeyId = r.preKeyId ?? p.nextId++;
    out.preKey = key.getPublicKey().serialize();
    await ops.savePreKey(out.preKeyId, lib.PreKeyRecord.new(out.preKeyId, key.getPublicKey(), key));
  }
  return { bundle: out };
}

function bundleOf(b) {
  const opk = b.preKey === undefined || b.preKey === null;
  return lib.PreKeyBundle.new(
    b.registrationId, b.device,
    opk ? null : b.preKeyId, opk ? null : pub(b.preKey),
    b.signedPreKeyId, pub(b.signedPreKey), bytes(b.signedPreKeySignature),
    pub(b.identityKey),
    b.kyberPreKeyId, lib.KEMPublicKey.deserialize(bytes(b.kyberPreKey)), bytes(b.kyberPreKeySignature),
  );
}

// addPreKeys takes serialised records, and ids of last-resort KEM keys.
async function addPreKeys(r) {
  const { preKey, signedPreKey, kyberPreKey } = partyOf(r).stores;
  for (const h of r.preKeys ?? []) {
    const x = lib.PreKeyRecord.deserialize(bytes(h));
    await preKey.savePreKey(x.id(), x);
  }
  for (const h of r.signedPreKeys ?? []) {
    const x = lib.SignedPreKeyRecord.deserialize(bytes(h));
    await signedPreKey.saveSignedPreKey(x.id(), x);
  }
  for (const h of r.kyberPreKeys ?? []) {
    const x = lib.KyberPreKeyRecord.deserialize(bytes(h));
    await kyberPreKey.saveKyberPreKey(x.id(), x);
  }
  for (const id of r.lastResortIds ?? []) kyberPreKey.lastResort.add(id);
}

async function processBundle(r) {
  const p = partyOf(r);
  const { session, identity: ids } = p.stores;
  await lib.processPreKeyBundle(bundleOf(r.bundle), addressOf(r.remote), ...local93(p), session, ids, ...ratchet, when(r.now));
}

async function encrypt(p, remote, plaintext, now) {
  const { session, identity: ids } = p.stores;
  const c = await lib.signalEncrypt(bytes(plaintext), remote, ...local(p), session, ids, when(now));
  return { type: c.type(), bytes: c.serialize() };
}

async function encryptBatch(r) {
  const p = partyOf(r);
  const remote = addressOf(r.remote);
  const messages = [];
  for (const text of r.plaintexts) messages.push(await encrypt(p, remote, text, r.now));
  return { messages };
}

async function decrypt(r) {
  const p = partyOf(r);
  const remote = addressOf(r.remote);
  const { session, identity: ids, preKey, signedPreKey, kyberPreKey } = p.stores;
  switch (r.type) {
    case lib.CiphertextMessageType.Whisper: {
      const m = lib.SignalMessage.deserialize(bytes(r.bytes));
      return { plaintext: await lib.signalDecrypt(m, remote, ...local93(p), session, ids) };
    }
    case lib.CiphertextMessageType.PreKey: {
      const m = lib.PreKeySignalMessage.deserialize(bytes(r.bytes));
      return { plaintext: await lib.signalDecryptPreKey(m, remote, ...local(p), session, ids, preKey, signedPreKey, kyberPreKey, ...ratchet) };
    }
    default:
      throw new TypeError(`message type ${r.type}`);
  }
}

// getSession → {record or null, and what the accessors of a record say}
async function getSession(r) {
  const record = await partyOf(r).stores.session.getSession(addressOf(r.remote));
  if (!record) return { record: null, usable: false };
  const out = { record: record.serialize(), usable: record.hasCurrentState(when(r.now)) };
  try {
    out.localRegistrationId = record.localRegistrationId();
    out.remoteRegistrationId = record.remoteRegistrationId();
  } catch { /* no current session */ }
  return out;
}

async function setSession(r) {
  const { session } = partyOf(r).stores;
  if (r.record === null || r.record === undefined) session.map.delete(addressOf(r.remote).toString());
  else await session.saveSession(addressOf(r.remote), lib.SessionRecord.deserialize(bytes(r.record)));
}

async function archive(r) {
  const { session } = partyOf(r).stores;
  const record = await session.getSession(addressOf(r.remote));
  if (!record) return { archived: false };
  record.archiveCurrentState();
  await session.saveSession(addressOf(r.remote), record);
  return { archived: true };
}

async function ratchetKeyMatches(r) {
  const record = await partyOf(r).stores.session.getSession(addressOf(r.remote));
  return { valid: record ? record.currentRatchetKeyMatches(pub(r.key)) : false };
}

const hexMap = (m) => Object.fromEntries([...m].map(([k, v]) => [String(k), v]));

function dump(r) {
  const s = partyOf(r).stores;
  return {
    sessions: hexMap(s.session.map),
    identities: hexMap(s.identity.map),
    preKeys: hexMap(s.preKey.records.map),
    signedPreKeys: hexMap(s.signedPreKey.records.map),
    kyberPreKeys: hexMap(s.kyberPreKey.records.map),
    lastResort: [...s.kyberPreKey.lastResort],
    used: [...s.kyberPreKey.used],
    senderKeys: hexMap(s.senderKey.map),
  };
}

export const ops = {
  newParty,
  dropParty: (r) => ({ dropped: parties.delete(r.party) }),
  makeBundle,
  addPreKeys,
  processBundle,
  encrypt: (r) => encrypt(partyOf(r), addressOf(r.remote), r.plaintext, r.now),
  encryptBatch,
  decrypt,
  getSession,
  setSession,
  archive,
  hasSession: async (r) => {
    const { record, usable } = await getSession(r);
    return { exists: record !== null, usable };
  },
  ratchetKeyMatches,
  // setIdentity accepts or replaces a remote identity; without key it forgets it.
  setIdentity: (r) => {
    const { map } = partyOf(r).stores.identity;
    if (r.key) map.set(addressOf(r.remote).toString(), Buffer.from(pub(r.key).serialize()).toString('hex'));
    else map.delete(addressOf(r.remote).toString());
  },
  getIdentity: async (r) => ({ key: (await partyOf(r).stores.identity.getIdentity(addressOf(r.remote)))?.serialize() ?? null }),
  setTrust: (r) => { partyOf(r).stores.identity.trust = r.trust; },
  // takeLog returns the store calls since the last time, in order.
  takeLog: (r) => {
    const p = partyOf(r);
    const calls = p.log ?? [];
    if (p.log) p.log = [];
    return { calls };
  },
  dump,
};

// In-memory stores, one set a party. What is stored is bytes, so that what is
// loaded is always a copy of its own.
import { lib } from './library.mjs';

// A store's own refusal; its name tells it from the library's errors.
export class StoreError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

const hex = (x) => Buffer.from(x.serialize()).toString('hex');

class Records {
  constructor(kind, type, state) {
    Object.assign(this, { kind, type, state, map: new Map() });
  }
  put(id, record) {
    this.state.note(`save${this.kind}`, { keyId: id });
    this.map.set(id, Buffer.from(record.serialize()));
  }
  get(id) {
    this.state.note(`get${this.kind}`, { keyId: id });
    const b = this.map.get(id);
    if (!b) throw new StoreError(`No${this.kind}`, `no ${this.kind} ${id}`);
    return this.type.deserialize(b);
  }
  remove(id) {
    this.state.note(`remove${this.kind}`, { keyId: id });
    this.map.delete(id);
  }
}

// open makes the stores of one party. state: {identity, registrationId, note}.
export function open(state) {
  const preKeys = new Records('PreKey', lib.PreKeyRecord, state);
  const signedPreKeys = new Records('SignedPreKey', lib.SignedPreKeyRecord, state);
  const kyberPreKeys = new Records('KyberPreKey', lib.KyberPreKeyRecord, state);
  return {
    session: new Sessions(state),
    identity: new Identities(state),
    preKey: new PreKeys(preKeys),
    signedPreKey: new SignedPreKeys(signedPreKeys),
    kyberPreKey: new KyberPreKeys(kyberPreKeys),
    senderKey: new SenderKeys(state),
  };
}

class Sessions extends lib.SessionStore {
  constructor(state) {
    super();
    Object.assign(this, { state, map: new Map() });
  }
  async saveSession(address, record) {
    this.state.note('saveSession', { address: address.toString() });
    this.map.set(address.toString(), Buffer.from(record.serialize()));
  }
  async getSession(address) {
    this.state.note('getSession', { address: address.toString() });
    const b = this.map.get(address.toString());
    return b ? lib.SessionRecord.deserialize(b) : null;
  }
  async getExistingSessions(addresses) {
    return Promise.all(addresses.map(async (a) => {
      const record = await this.getSession(a);
      if (!record) throw new StoreError('NoSession', 'no session');
      return record;
    }));
  }
}

// Identities trusts on first use, for each full address; trust may also be
// "any" or "none".
class Identities extends lib.IdentityKeyStore {
  constructor(state) {
    super();
    Object.assign(this, { state, map: new Map(), trust: 'tofu' });
  }
  async getIdentityKey() {
    return this.state.identity.privateKey;
  }
  async getIdentityKeyPair() {
    return this.state.identity;
  }
  async getLocalRegistrationId() {
    this.state.note('getLocalRegistrationId', {});
    return this.state.registrationId;
  }
  async saveIdentity(address, key) {
    const at = address.toString();
    const now = hex(key);
    const replaced = this.map.has(at) && this.map.get(at) !== now;
    this.state.note('saveIdentity', { address: at, key: now, replaced });
    this.map.set(at, now);
    if (!lib.IdentityChange) return replaced;
    return replaced ? lib.IdentityChange.ReplacedExisting : lib.IdentityChange.NewOrUnchanged;
  }
  async isTrustedIdentity(address, key, direction) {
    const at = address.toString();
    const have = this.map.get(at);
    const ok = this.trust === 'tofu' ? have === undefined || have === hex(key) : this.trust === 'any';
    this.state.note('isTrustedIdentity', { address: at, key: hex(key), sending: direction === lib.Direction.Sending, trusted: ok });
    return ok;
  }
  async getIdentity(address) {
    const have = this.map.get(address.toString());
    return have ? lib.PublicKey.deserialize(Buffer.from(have, 'hex')) : null;
  }
}

class PreKeys extends lib.PreKeyStore {
  constructor(records) {
    super();
    this.records = records;
  }
  async savePreKey(id, record) { this.records.put(id, record); }
  async getPreKey(id) { return this.records.get(id); }
  async removePreKey(id) { this.records.remove(id); }
}

class SignedPreKeys extends lib.SignedPreKeyStore {
  constructor(records) {
    super();
    this.records = records;
  }
  async saveSignedPreKey(id, record) { this.records.put(id, record); }
  async getSignedPreKey(id) { return this.records.get(id); }
}

// KyberPreKeys deletes a one-time key on use. A last-resort key stays, and the
// same base key is refused the second time.
class KyberPreKeys extends lib.KyberPreKeyStore {
  constructor(records) {
    super();
    Object.assign(this, { records, lastResort: new Set(), used: new Set() });
  }
  async saveKyberPreKey(id, record) { this.records.put(id, record); }
  async getKyberPreKey(id) { return this.records.get(id); }
  async markKyberPreKeyUsed(id, signedId, baseKey) {
    const mark = `${id} ${signedId ?? '-'} ${baseKey ? hex(baseKey) : '-'}`;
    this.records.state.note('markKyberPreKeyUsed', { keyId: id, mark });
    if (!this.lastResort.has(id)) {
      this.records.map.delete(id);
      return;
    }
    if (baseKey && this.used.has(mark)) throw new StoreError('BaseKeyReused', 'reused base key');
    this.used.add(mark);
  }
}

class SenderKeys extends lib.SenderKeyStore {
  constructor(state) {
    super();
    Object.assign(this, { state, map: new Map() });
  }
  key(sender, id) { return `${sender.toString()} ${id}`; }
  async saveSenderKey(sender, id, record) {
    this.state.note('saveSenderKey', { address: sender.toString() });
    this.map.set(this.key(sender, id), Buffer.from(record.serialize()));
  }
  async getSenderKey(sender, id) {
    this.state.note('getSenderKey', { address: sender.toString() });
    const b = this.map.get(this.key(sender, id));
    return b ? lib.SenderKeyRecord.deserialize(b) : null;
  }
}

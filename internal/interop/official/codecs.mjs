// Keys, messages and records: parse, build, re-encode, and the operations on
// keys. Nothing here has state.
import { lib } from './library.mjs';
import { bytes } from './hex.mjs';

const bytesOf = (x) => x?.serialize();

const serviceId = {
  write: (id) => id.getServiceIdFixedWidthBinary(),
  fields: { string: (id) => id.getServiceIdString(), binary: (id) => id.getServiceIdBinary() },
};

// A kind says how bytes become an object, how it is written again (serialize,
// unless it says otherwise), and which accessors it has. An accessor may fail
// although the bytes did parse.
const kinds = {
  publicKey: {
    parse: (b) => lib.PublicKey.deserialize(b),
    fields: { raw: (k) => k.getPublicKeyBytes() },
  },
  privateKey: {
    parse: (b) => lib.PrivateKey.deserialize(b),
    fields: { public: (k) => bytesOf(k.getPublicKey()) },
  },
  identityKeyPair: {
    parse: (b) => lib.IdentityKeyPair.deserialize(b),
    fields: { public: (p) => bytesOf(p.publicKey), private: (p) => bytesOf(p.privateKey) },
  },
  kemPublicKey: { parse: (b) => lib.KEMPublicKey.deserialize(b), fields: {} },
  kemSecretKey: { parse: (b) => lib.KEMSecretKey.deserialize(b), fields: {} },
  signalMessage: {
    parse: (b) => lib.SignalMessage.deserialize(b),
    fields: {
      body: (m) => m.body(),
      pqRatchet: (m) => m.pqRatchet(),
      counter: (m) => m.counter(),
      version: (m) => m.messageVersion(),
    },
  },
  preKeySignalMessage: {
    parse: (b) => lib.PreKeySignalMessage.deserialize(b),
    fields: {
      preKeyId: (m) => m.preKeyId(),
      registrationId: (m) => m.registrationId(),
      signedPreKeyId: (m) => m.signedPreKeyId(),
      version: (m) => m.version(),
    },
  },
  decryptionErrorMessage: {
    parse: (b) => lib.DecryptionErrorMessage.deserialize(b),
    fields: {
      timestamp: (m) => m.timestamp(),
      deviceId: (m) => m.deviceId(),
      ratchetKey: (m) => bytesOf(m.ratchetKey()),
    },
  },
  plaintextContent: {
    parse: (b) => lib.PlaintextContent.deserialize(b),
    fields: { body: (m) => m.body() },
  },
  preKeyRecord: {
    parse: (b) => lib.PreKeyRecord.deserialize(b),
    fields: {
      keyId: (r) => r.id(),
      public: (r) => bytesOf(r.publicKey()),
      private: (r) => bytesOf(r.privateKey()),
    },
  },
  signedPreKeyRecord: {
    parse: (b) => lib.SignedPreKeyRecord.deserialize(b),
    fields: {
      keyId: (r) => r.id(),
      public: (r) => bytesOf(r.publicKey()),
      private: (r) => bytesOf(r.privateKey()),
      signature: (r) => r.signature(),
      timestamp: (r) => r.timestamp(),
    },
  },
  kyberPreKeyRecord: {
    parse: (b) => lib.KyberPreKeyRecord.deserialize(b),
    fields: {
      keyId: (r) => r.id(),
      public: (r) => bytesOf(r.publicKey()),
      private: (r) => bytesOf(r.secretKey()),
      signature: (r) => r.signature(),
      timestamp: (r) => r.timestamp(),
    },
  },
  sessionRecord: {
    parse: (b) => lib.SessionRecord.deserialize(b),
    fields: {
      localRegistrationId: (r) => r.localRegistrationId(),
      remoteRegistrationId: (r) => r.remoteRegistrationId(),
      usable: (r) => r.hasCurrentState(),
    },
  },
  senderKeyRecord: { parse: (b) => lib.SenderKeyRecord.deserialize(b), fields: {} },
  senderKeyMessage: {
    parse: (b) => lib.SenderKeyMessage.deserialize(b),
    fields: {
      distributionId: (m) => m.distributionId(),
      chainId: (m) => m.chainId(),
      iteration: (m) => m.iteration(),
      body: (m) => m.ciphertext(),
    },
  },
  senderKeyDistributionMessage: {
    parse: (b) => lib.SenderKeyDistributionMessage.deserialize(b),
    fields: {
      distributionId: (m) => m.distributionId(),
      chainId: (m) => m.chainId(),
      iteration: (m) => m.iteration(),
      chainKey: (m) => m.chainKey(),
    },
  },
  serverCertificate: {
    parse: (b) => lib.ServerCertificate.deserialize(b),
    fields: {
      keyId: (c) => c.keyId(),
      public: (c) => bytesOf(c.key()),
      certificate: (c) => c.certificateData(),
      signature: (c) => c.signature(),
    },
  },
  senderCertificate: {
    parse: (b) => lib.SenderCertificate.deserialize(b),
    fields: {
      uuid: (c) => c.senderUuid(),
      e164: (c) => c.senderE164(),
      deviceId: (c) => c.senderDeviceId(),
      public: (c) => bytesOf(c.key()),
      timestamp: (c) => c.expiration(),
      server: (c) => bytesOf(c.serverCertificate()),
      certificate: (c) => c.certificate(),
      signature: (c) => c.signature(),
    },
  },
  sealedContent: {
    parse: (b) => lib.UnidentifiedSenderMessageContent.deserialize(b),
    fields: {
      type: (m) => m.msgType(),
      body: (m) => m.contents(),
      certificate: (m) => bytesOf(m.senderCertificate()),
      hint: (m) => m.contentHint(),
      group: (m) => m.groupId(),
    },
  },
  scannableFingerprint: {
    parse: (b) => lib.ScannableFingerprint._fromBuffer(b),
    write: (f) => f.toBuffer(),
    fields: {},
  },
  serviceIdString: {
    parse: (b) => lib.ServiceId.parseFromServiceIdString(b.toString('latin1')),
    ...serviceId,
  },
  serviceIdBinary: { parse: (b) => lib.ServiceId.parseFromServiceIdBinary(b), ...serviceId },
  serviceIdFixed: { parse: (b) => lib.ServiceId.parseFromServiceIdFixedWidthBinary(b), ...serviceId },
};

// builders make the same kinds from their parts.
const builders = {
  privateKey: () => lib.PrivateKey.generate(),
  identityKeyPair: (r) => (r.private ? identity(r.private) : lib.IdentityKeyPair.generate()),
  signalMessage: (r) =>
    lib.SignalMessage._new(
      r.version, bytes(r.macKey), pub(r.ratchetKey), r.counter, r.previousCounter,
      bytes(r.ciphertext), pub(r.senderIdentity), pub(r.receiverIdentity), bytes(r.pqRatchet ?? ''),
    ),
  decryptionErrorMessage: (r) =>
    lib.DecryptionErrorMessage.forOriginal(bytes(r.original), r.type, r.timestamp, r.device),
  plaintextContent: (r) =>
    lib.PlaintextContent.from(lib.DecryptionErrorMessage.deserialize(bytes(r.decryptionError))),
  preKeyRecord: (r) => lib.PreKeyRecord.new(r.keyId, pub(r.public), priv(r.private)),
  signedPreKeyRecord: (r) =>
    lib.SignedPreKeyRecord.new(r.keyId, r.timestamp, pub(r.public), priv(r.private), bytes(r.signature)),
  kyberPreKeyRecord: (r) =>
    lib.KyberPreKeyRecord.new(r.keyId, r.timestamp, lib.KEMKeyPair.generate(), bytes(r.signature)),
  senderKeyMessage: (r) =>
    lib.SenderKeyMessage._new(
      r.version, r.distributionId, r.chainId, r.iteration, bytes(r.ciphertext), priv(r.private)),
  senderKeyDistributionMessage: (r) =>
    lib.SenderKeyDistributionMessage._new(
      r.version, r.distributionId, r.chainId, r.iteration, bytes(r.chainKey), pub(r.public)),
  serverCertificate: (r) => lib.ServerCertificate.new(r.keyId, pub(r.public), priv(r.private)),
  senderCertificate: (r) =>
    lib.SenderCertificate.new(
      r.uuid, r.e164 ?? null, r.device, pub(r.public), r.timestamp,
      lib.ServerCertificate.deserialize(bytes(r.server)), priv(r.private)),
};

export const pub = (h) => lib.PublicKey.deserialize(bytes(h));
export const priv = (h) => lib.PrivateKey.deserialize(bytes(h));

export function identity(privateHex) {
  const k = priv(privateHex);
  return new lib.IdentityKeyPair(k.getPublicKey(), k);
}

function describe(kind, x) {
  const { write, fields } = kinds[kind];
  const out = { bytes: write ? write(x) : x.serialize(), fields: {}, failed: {} };
  for (const [name, get] of Object.entries(fields)) {
    try {
      out.fields[name] = get(x) ?? null;
    } catch (e) {
      out.failed[name] = String(e.message);
    }
  }
  return out;
}

function known(table, kind) {
  if (!Object.hasOwn(table, kind)) throw new TypeError(`no kind ${kind}`);
  return table[kind];
}

export const ops = {
  // parse {kind, bytes} → {bytes, fields, failed}
  parse: (r) => describe(r.kind, known(kinds, r.kind).parse(bytes(r.bytes))),
  // build {kind, …} → the same
  build: (r) => describe(r.kind, known(builders, r.kind)(r)),

  agree: (r) => ({ bytes: priv(r.private).agree(pub(r.public)) }),
  sign: (r) => ({ bytes: priv(r.private).sign(bytes(r.message)) }),
  verify: (r) => ({ valid: pub(r.public).verify(bytes(r.message), bytes(r.signature)) }),
  signAlternate: (r) => ({ bytes: identity(r.private).signAlternateIdentity(pub(r.other)) }),
  verifyAlternate: (r) => ({ valid: pub(r.public).verifyAlternateIdentity(pub(r.other), bytes(r.signature)) }),
  generateKEM: () => {
    const pair = lib.KEMKeyPair.generate();
    return { public: pair.getPublicKey().serialize(), private: pair.getSecretKey().serialize() };
  },
};

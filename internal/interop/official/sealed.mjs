// Sealed sender: certificates, contents, envelopes for one and for many, and
// what a server does with the latter. Contents and certificates travel
// serialised.
import { lib, part } from './library.mjs';
import { bytes } from './hex.mjs';
import { addressOf, local, partyOf } from './party.mjs';
import { pub } from './codecs.mjs';

const { default: Sent } = await part('SealedSenderMultiRecipientMessage');

const certificate = (h) => lib.SenderCertificate.deserialize(bytes(h));
const content = (h) => lib.UnidentifiedSenderMessageContent.deserialize(bytes(h));
const device = (id, i, r) => ({ device: id, registrationId: r.registrationIds[i] });

// wrapped makes a content of a message that was just encrypted.
function wrapped(message, r) {
  const group = r.group === undefined || r.group === null ? null : bytes(r.group);
  const made = lib.UnidentifiedSenderMessageContent.new(message, certificate(r.certificate), r.hint ?? 0, group);
  return { bytes: made.serialize() };
}

export const ops = {
  // validate {certificate, roots, at} → {valid}
  validate: (r) => ({ valid: certificate(r.certificate).validateWithTrustRoots(r.roots.map(pub), r.at) }),

  // wrap… {…, certificate, hint, group} → {bytes} of a content; group null: none
  wrapEncrypt: async (r) => {
    const p = partyOf(r);
    const { session, identity } = p.stores;
    return wrapped(await lib.signalEncrypt(bytes(r.plaintext), addressOf(r.remote), ...local(p), session, identity), r);
  },
  wrapGroup: async (r) => {
    const p = partyOf(r);
    return wrapped(await lib.groupEncrypt(p.address, r.distributionId, p.stores.senderKey, bytes(r.plaintext)), r);
  },
  wrapPlaintext: (r) => wrapped(lib.PlaintextContent.deserialize(bytes(r.bytes)).asCiphertextMessage(), r),

  // seal {party, remote, content} → {bytes}, version 1
  seal: async (r) => ({
    bytes: await lib.sealedSenderEncrypt(content(r.content), addressOf(r.remote), partyOf(r).stores.identity),
  }),
  // sealText {party, remote, certificate, plaintext} → {bytes}: encrypt, wrap and seal
  sealText: async (r) => {
    const { session, identity } = partyOf(r).stores;
    return {
      bytes: await lib.sealedSenderEncryptMessage(
        bytes(r.plaintext), addressOf(r.remote), certificate(r.certificate), session, identity),
    };
  },
  // sealMany {party, recipients, excluded, content} → {bytes}, version 2, sent form
  sealMany: async (r) => {
    const { session, identity } = partyOf(r).stores;
    return {
      bytes: await lib.sealedSenderMultiRecipientEncrypt({
        content: content(r.content),
        recipients: (r.recipients ?? []).map(addressOf),
        excludedRecipients: (r.excluded ?? []).map((s) => lib.ServiceId.parseFromServiceIdString(s)),
        identityStore: identity,
        sessionStore: session,
      }),
    };
  },
  // split {bytes} → {recipients: [{user, devices, bytes}], excluded}
  split: (r) => {
    const sent = new Sent(bytes(r.bytes));
    const recipients = Object.entries(sent.recipientsByServiceIdString()).map(([user, to]) => ({
      user,
      devices: to.deviceIds.map((id, i) => device(id, i, to)),
      bytes: sent.messageForRecipient(to),
    }));
    return { recipients, excluded: [...sent.excludedRecipientServiceIdStrings()] };
  },
  // single {bytes} → {bytes}: what the only recipient gets
  single: (r) => ({ bytes: lib.sealedSenderMultiRecipientMessageForSingleRecipient(bytes(r.bytes)) }),

  // unseal {party, bytes} → {bytes} of the content; its certificate is not validated
  unseal: async (r) => {
    const made = await lib.sealedSenderDecryptToUsmc(bytes(r.bytes), partyOf(r).stores.identity);
    return { bytes: made.serialize() };
  },
  // openSealed {party, bytes, root, at, e164} → {uuid, e164, device, plaintext}
  openSealed: async (r) => {
    const p = partyOf(r);
    const s = p.stores;
    const out = await lib.sealedSenderDecryptMessage(
      bytes(r.bytes), pub(r.root), r.at, r.e164 || null, p.address.name(), p.address.deviceId(),
      s.session, s.identity, s.preKey, s.signedPreKey, s.kyberPreKey);
    return { uuid: out.senderUuid(), e164: out.senderE164(), device: out.deviceId(), plaintext: out.message() };
  },
};

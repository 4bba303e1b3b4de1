package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// A fld is one field of a sample.
type fld struct {
	num      protowire.Number
	typ      protowire.Type
	u        uint64
	b        []byte
	wide     bool // all 64 bits count
	required bool // without it the message is malformed
	list     bool // repeated
	message  bool // nested
}

func num32(num protowire.Number, v uint64) fld { return fld{num: num, typ: protowire.VarintType, u: v} }
func num64(num protowire.Number, v uint64) fld {
	return fld{num: num, typ: protowire.VarintType, u: v, wide: true}
}
func fixed(num protowire.Number, v uint64) fld {
	return fld{num: num, typ: protowire.Fixed64Type, u: v, wide: true}
}
func raw(num protowire.Number, b []byte) fld {
	return fld{num: num, typ: protowire.BytesType, b: b}
}
func sub(num protowire.Number, fs []fld) fld {
	return fld{num: num, typ: protowire.BytesType, b: encode(fs), message: true}
}
func (f fld) must() fld   { f.required = true; return f }
func (f fld) many() fld   { f.list = true; return f }
func seq(n int) []byte    { return seqFrom(n, 0xA0) }
func key33(b byte) []byte { return append([]byte{5}, seqFrom(32, b)...) }

func seqFrom(n int, first byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func (f fld) append(dst []byte) []byte {
	dst = protowire.AppendTag(dst, f.num, f.typ)
	switch f.typ {
	case protowire.VarintType:
		return protowire.AppendVarint(dst, f.u)
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(dst, f.u)
	default:
		return protowire.AppendBytes(dst, f.b)
	}
}

func encode(fs []fld) []byte {
	var b []byte
	for _, f := range fs {
		b = f.append(b)
	}
	return b
}

// without returns fs without the field at i.
func without(fs []fld, i int) []byte { return encode(slices.Delete(slices.Clone(fs), i, i+1)) }

// A codec is one message, or one kind of nested message in its place, with a
// sample that has every field and is canonical.
type codec struct {
	name   string
	fields []fld
	frame  func(p []byte) []byte // what stands around the protobuf; nil: nothing
	round  func(b []byte) ([]byte, error)
	strict bool // no unknown fields
	limit  int  // bytes
}

func (c codec) put(p []byte) []byte {
	if c.frame == nil {
		return p
	}
	return c.frame(p)
}

func (c codec) sample() []byte { return c.put(encode(c.fields)) }

func roundSignal(b []byte) ([]byte, error) {
	m, err := wire.ParseSignalMessage(b)
	if err != nil {
		return nil, err
	}
	return append(wire.AppendSignalMessage(nil, &m), m.MAC...), nil
}

func roundGroupMessage(b []byte) ([]byte, error) {
	m, err := wire.ParseSenderKeyMessage(b)
	if err != nil {
		return nil, err
	}
	return append(wire.AppendSenderKeyMessage(nil, &m), m.Signature...), nil
}

func roundPreKeySignal(b []byte) ([]byte, error) {
	m, err := wire.ParsePreKeySignalMessage(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendPreKeySignalMessage(nil, &m), nil
}

func roundRecord(b []byte) ([]byte, error) {
	rec, err := wire.ParseSessionRecord(b)
	if err != nil {
		return nil, err
	}
	if rec.Current != nil {
		s, err := wire.ParseSession(rec.Current)
		if err != nil {
			return nil, err
		}
		rec.Current = wire.AppendSession([]byte{}, s)
	}
	return wire.AppendSessionRecord(nil, &rec), nil
}

// value and pointer make a round from a parser and a writer.
func value[T any](parse func([]byte) (T, error), write func([]byte, *T) []byte) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			if !reflect.ValueOf(v).IsZero() {
				return nil, errors.New("an error, and a value beside it")
			}
			return nil, err
		}
		return write(nil, &v), nil
	}
}

func pointer[T any](parse func([]byte) (*T, error), write func([]byte, *T) []byte) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			if v != nil {
				return nil, errors.New("an error, and a value beside it")
			}
			return nil, err
		}
		return write(nil, v), nil
	}
}

var (
	roundDEM          = value(wire.ParseDecryptionErrorMessage, wire.AppendDecryptionErrorMessage)
	roundPlaintext    = value(wire.ParsePlaintextContent, wire.AppendPlaintextContent)
	roundBundle       = value(wire.ParseBundle, wire.AppendBundle)
	roundPublication  = pointer(wire.ParsePublication, wire.AppendPublication)
	roundContent      = pointer(wire.ParseContent, wire.AppendContent)
	roundSession      = pointer(wire.ParseSession, wire.AppendSession)
	roundIdentity     = value(wire.ParseIdentityKeyPairRecord, wire.AppendIdentityKeyPairRecord)
	roundPreKey       = value(wire.ParsePreKeyRecord, wire.AppendPreKeyRecord)
	roundSigned       = value(wire.ParseSignedPreKeyRecord, wire.AppendSignedPreKeyRecord)
	roundSelf         = value(wire.ParseSelf, wire.AppendSelf)
	roundNextIDs      = value(wire.ParseNextIDs, wire.AppendNextIDs)
	roundStored       = value(wire.ParseStoredPreKey, wire.AppendStoredPreKey)
	roundUpkeep       = value(wire.ParseUpkeep, wire.AppendUpkeep)
	roundAccepted     = value(wire.ParseIdentity, wire.AppendIdentity)
	roundStaged       = value(wire.ParseStaged, wire.AppendStaged)
	roundSent         = value(wire.ParseSent, wire.AppendSent)
	roundEvent        = value(wire.ParseEvent, wire.AppendEvent)
	roundIndex        = value(wire.ParseSessionIndex, wire.AppendSessionIndex)
	roundLinks        = value(wire.ParseLinks, wire.AppendLinks)
	roundLink         = value(wire.ParseLink, wire.AppendLink)
	roundDistribution = value(wire.ParseSenderKeyDistributionMessage, wire.AppendSenderKeyDistributionMessage)
	roundGroup        = value(wire.ParseGroup, wire.AppendGroup)
	roundAttachment   = value(wire.ParseAttachmentPointer, wire.AppendAttachmentPointer)
	roundRetry        = value(wire.ParseRetry, wire.AppendRetry)
	roundPeer         = value(wire.ParsePeer, wire.AppendPeer)
	roundSenderIndex  = value(wire.ParseSenderKeyIndex, wire.AppendSenderKeyIndex)
	roundSenderKey    = pointer(wire.ParseSenderKeyRecord, wire.AppendSenderKeyRecord)
)

var mac = []byte("12345678")

// signature is as long as one, and its bytes are no tags.
var signature = bytes.Repeat([]byte{7}, 64)

func frameGroup(p []byte) []byte        { return slices.Concat([]byte{0x33}, p, signature) }
func frameDistribution(p []byte) []byte { return slices.Concat([]byte{0x33}, p) }
func frameSignal(p []byte) []byte       { return slices.Concat([]byte{0x44}, p, mac) }
func framePreKey(p []byte) []byte       { return slices.Concat([]byte{0x44}, p) }
func framePlaintext(p []byte) []byte {
	return slices.Concat([]byte{0xC0}, p, []byte{0x80})
}

// in frames a nested message as field num of the message outer.
func in(outer func([]byte) []byte, num protowire.Number, before ...fld) func([]byte) []byte {
	return func(p []byte) []byte {
		b := encode(append(slices.Clone(before), raw(num, p)))
		if outer == nil {
			return b
		}
		return outer(b)
	}
}

func signalFields() []fld {
	return []fld{
		raw(1, key33(1)).must(), num32(2, 300).must(), num32(3, 0), raw(4, seq(16)).must(),
		raw(5, []byte{1, 1, 1, 0}), raw(6, seq(36)),
	}
}

func preKeyFields() []fld {
	return []fld{
		num32(1, 31337), raw(2, key33(2)).must(), raw(3, key33(3)).must(),
		raw(4, frameSignal(encode(signalFields()))).must(), num32(5, 1234), num32(6, 0).must(),
		num32(7, 1<<32-1).must(), raw(8, seq(1569)).must(),
	}
}

func demFields() []fld {
	return []fld{raw(1, key33(4)), num64(2, 1<<40).must(), num32(3, 1<<31)}
}

func bundleFields() []fld {
	return []fld{
		num32(1, 16380).must(), num32(2, 127).must(), raw(3, key33(5)).must(),
		num32(4, 0).must(), raw(5, key33(6)).must(), raw(6, seq(64)).must(),
		num32(7, 0).must(), raw(8, key33(7)).must(), // both or neither
		num32(9, 0).must(), raw(10, seq(1569)).must(), raw(11, seq(64)).must(),
		num32(12, 1), raw(13, seq(9)),
	}
}

func signedFields() []fld {
	return []fld{num32(1, 7), raw(2, key33(8)).must(), raw(3, seq(64)).must()}
}

func publicationHead() []fld {
	return []fld{num32(1, 1).must(), num32(2, 1).must(), raw(3, key33(5)).must()}
}

func publicationFields() []fld {
	return append(publicationHead(), sub(4, signedFields()), sub(5, signedFields()),
		sub(6, signedFields()[:2]).many(), sub(6, signedFields()[:2]).many(),
		sub(7, signedFields()).many(), raw(13, seq(9)))
}

func hostingFields() []fld {
	return []fld{raw(1, []byte("alice")), num32(2, 300), raw(3, []byte("bøb")), num64(4, 1<<63),
		raw(5, seq(32)), num64(6, 9), raw(7, seq(32))}
}

func timerFields() []fld { return []fld{num32(1, 3600), num32(2, 1<<32-1)} }
func syncFields() []fld  { return []fld{raw(1, []byte("group")), raw(2, seq(5))} }

func contentFields() []fld {
	return []fld{raw(1, seq(20)), sub(2, hostingFields()), sub(3, timerFields()), num64(4, 1<<64-1),
		raw(5, seq(3)), raw(7, seq(4)), raw(8, seq(5)), sub(9, syncFields())}
}

func attachmentFields() []fld {
	return []fld{raw(3, seq(64)).must(), num64(4, 1<<63).must(), raw(6, seq(32)), num32(17, 1<<32-1), raw(19, seq(96))}
}

func messageKeyFields() []fld { return []fld{num32(1, 300), raw(5, seq(32))} }
func oldKeyFields() []fld {
	return []fld{num32(1, 299), raw(2, seq(32)), raw(3, seq(32)), raw(4, seq(16))}
}
func chainKeyFields() []fld { return []fld{num32(1, 301), raw(2, seq(32))} }

func chainFields() []fld {
	return []fld{raw(1, key33(9)), raw(2, seq(32)), sub(3, chainKeyFields()),
		sub(4, messageKeyFields()).many(), sub(4, oldKeyFields()).many(),
		sub(4, []fld{raw(5, seq(32))}).many()}
}

func pendingFields() []fld {
	return []fld{num32(1, 0), raw(2, key33(10)), num64(3, 1<<64-1), num64(4, 1700000000)}
}

func pendingKEMFields() []fld { return []fld{num32(1, 33), raw(2, seq(1569))} }

func sessionFields() []fld {
	return []fld{num32(1, 4), raw(2, key33(11)), raw(3, key33(12)), raw(4, seq(32)), num32(5, 17),
		sub(6, chainFields()[:3]), sub(7, chainFields()).many(), sub(7, nil).many(),
		sub(9, pendingFields()), num32(10, 5678), num32(11, 1234), raw(13, key33(13)),
		sub(14, pendingKEMFields()), raw(15, seq(100))}
}

func recordFields() []fld {
	return []fld{sub(1, sessionFields()), raw(2, seq(3)).many(), raw(2, nil).many()}
}

func senderStateFields() []fld {
	return []fld{num32(1, 1<<31-1), sub(2, chainKeyFields()), sub(3, []fld{raw(1, key33(14)), raw(2, seq(32))}),
		sub(4, chainKeyFields()).many(), sub(4, nil).many(), num32(5, 3), num32(14, 7), raw(15, key33(17))}
}

func senderKeyFields() []fld {
	return []fld{raw(1, seq(16)).must(), num32(2, 1<<31-1).must(), num32(3, 0).must(), raw(4, seq(32)).must()}
}

func distributionFields() []fld { return append(senderKeyFields(), raw(5, key33(18)).must()) }

func senderEntryFields() []fld {
	return []fld{raw(1, seq(16)).must(), num64(2, 1<<41), raw(3, key33(1)), raw(4, seq(16))}
}

func noteFields() []fld {
	return []fld{raw(1, seq(32)).must(), num64(2, 1<<41), raw(3, seq(16)), num32(4, 1), num32(5, 1)}
}

func stagedFields() []fld {
	return []fld{num32(1, 2), raw(2, key33(1)), num32(3, 1), num32(4, 1), raw(5, seq(9)), num32(6, 1), raw(7, seq(3)),
		sub(8, eventFields()).many(), sub(8, nil).many(), num64(9, 1<<41), num64(10, 1<<42), num32(11, 1<<32-1), num64(12, 1<<41)}
}

func eventFields() []fld {
	return []fld{num32(1, 2), raw(2, []byte("alice")), num32(3, 127), raw(4, key33(1)), raw(5, key33(2)), num64(6, 1<<41), raw(7, []byte("note"))}
}

func usedFields() []fld { return []fld{raw(1, seq(32)).must(), num64(2, 1<<41)} }

func sentFields() []fld {
	return []fld{raw(1, seq(9)), num64(2, 1<<41), raw(3, []byte("bob")), sub(4, recipientFields()).many(),
		sub(4, recipientFields()[2:3]).many()}
}

func recipientFields() []fld {
	return []fld{raw(1, []byte("alice")), num32(2, 127), raw(3, seq(8)).must(), num32(4, 5)}
}

func retryFields() []fld {
	return []fld{num64(1, 1<<41), sub(2, retryRequestFields()).many(), sub(2, nil).many(), num64(3, 1<<41), num32(4, 300), num64(5, 1<<42), num32(6, 1<<32-1),
		sub(7, retryAnswerFields()).many(), sub(7, retryAnswerFields()[1:2]).many()}
}

func retryAnswerFields() []fld {
	return []fld{num64(1, 1<<41), raw(2, seq(8)).must(), num32(3, 3), raw(4, seq(90))}
}

func retryRequestFields() []fld { return []fld{num64(1, 1<<41), num32(2, 5), num64(3, 1<<64-1)} }

func groupFields() []fld {
	return []fld{raw(1, []byte("alice")).many(), raw(1, []byte("bøb")).many(), raw(2, seq(16)).must(), num32(3, 1<<31-1), num64(4, 1<<41),
		sub(5, groupDeviceFields()).many(), sub(5, nil).many(), sub(6, groupKeyFields()).many(), sub(6, nil).many()}
}

func groupDeviceFields() []fld { return []fld{raw(1, []byte("alice")), num32(2, 127)} }

func groupKeyFields() []fld {
	return []fld{raw(1, []byte("alice")), num32(2, 127), num32(3, 16380), raw(4, key33(1)), raw(5, seq(32)), num64(6, 1<<41), num32(7, 1)}
}

func peerDeviceFields() []fld { return []fld{num32(1, 127), num32(2, 16380), num64(3, 1<<41)} }

// deviceCodecs are the bodies of a Device's own records.
func deviceCodecs() []codec {
	return []codec{
		{name: "Self", fields: []fld{raw(1, seq(70)), num32(2, 16380), raw(3, []byte("alice")), num32(4, 2)}, round: roundSelf, limit: wire.MaxDeviceRecord},
		{name: "NextIDs", fields: []fld{num32(1, 1), num32(2, 1<<24), num32(3, 1<<32-1)}, round: roundNextIDs, limit: wire.MaxDeviceRecord},
		{name: "StoredPreKey", fields: []fld{raw(1, seq(70)), num64(2, 1<<41), num64(3, 1<<64-1), num64(4, 1<<42)}, round: roundStored, limit: wire.MaxDeviceRecord},
		{name: "Upkeep", fields: []fld{num64(1, 1<<41), num32(2, 1<<24-1), num32(3, 1<<32-1), num64(4, 1<<63)}, round: roundUpkeep, limit: wire.MaxDeviceRecord},
		{name: "Identity", fields: []fld{raw(1, key33(1)), num64(2, 1<<41), raw(3, key33(2)), num32(4, 1)}, round: roundAccepted, limit: wire.MaxDeviceRecord},
		{name: "Staged", fields: stagedFields(), round: roundStaged, limit: wire.MaxDeviceRecord},
		{name: "Staged/Event", fields: eventFields(), frame: in(nil, 8), round: roundStaged},
		{name: "Links", fields: []fld{sub(1, usedFields()).many(), sub(1, usedFields()[:1]).many()}, round: roundLinks, limit: wire.MaxDeviceRecord},
		{name: "Links/Used", fields: usedFields(), frame: in(nil, 1), round: roundLinks},
		{name: "Event", fields: eventFields(), round: roundEvent, limit: wire.MaxDeviceRecord},
		{name: "SessionIndex", fields: []fld{raw(1, seq(9)), sub(2, noteFields()).many(), sub(2, noteFields()[:1]).many()}, round: roundIndex, limit: wire.MaxDeviceRecord},
		{name: "SessionIndex/Note", fields: noteFields(), frame: in(nil, 2), round: roundIndex},
		{name: "Peer", fields: []fld{sub(1, peerDeviceFields()).many(), sub(1, nil).many(), num32(2, 1), num64(3, 1<<41)}, round: roundPeer, limit: wire.MaxDeviceRecord},
		{name: "Retry", fields: retryFields(), round: roundRetry, limit: wire.MaxDeviceRecord},
		{name: "Retry/Request", fields: retryRequestFields(), frame: in(nil, 2), round: roundRetry},
		{name: "Retry/Answer", fields: retryAnswerFields(), frame: in(nil, 7), round: roundRetry},
		{name: "Peer/Device", fields: peerDeviceFields(), frame: in(nil, 1), round: roundPeer},
		{name: "Group", fields: groupFields(), round: roundGroup, limit: wire.MaxDeviceRecord},
		{name: "Group/Device", fields: groupDeviceFields(), frame: in(nil, 5, raw(2, seq(16))), round: roundGroup},
		{name: "Group/Key", fields: groupKeyFields(), frame: in(nil, 6, raw(2, seq(16))), round: roundGroup},
		{name: "SenderKeyIndex", fields: []fld{sub(1, senderEntryFields()).many(), sub(1, senderEntryFields()[:1]).many()}, round: roundSenderIndex, limit: wire.MaxDeviceRecord},
		{name: "SenderKeyIndex/Entry", fields: senderEntryFields(), frame: in(nil, 1), round: roundSenderIndex},
		{name: "Sent", fields: sentFields(), round: roundSent, limit: wire.MaxDeviceRecord},
		{name: "Sent/Recipient", fields: recipientFields(), frame: in(nil, 4), round: roundSent},
	}
}

func codecs() []codec {
	return slices.Concat(protocolCodecs(), deviceCodecs(), sealedCodecs())
}

func protocolCodecs() []codec {
	inPub := func(num protowire.Number) func([]byte) []byte { return in(nil, num, publicationHead()...) }
	pending := pendingFields()
	pending[2] = fld{num: 3, typ: protowire.VarintType, u: 5}
	return []codec{
		{name: "SignalMessage", fields: signalFields(), frame: frameSignal, round: roundSignal, limit: wire.MaxSignalMessage},
		{name: "PreKeySignalMessage", fields: preKeyFields(), frame: framePreKey, round: roundPreKeySignal, limit: wire.MaxPreKeySignalMessage},
		{name: "SenderKeyMessage", fields: senderKeyFields(), frame: frameGroup, round: roundGroupMessage, limit: wire.MaxSenderKeyMessage},
		{name: "SenderKeyDistributionMessage", fields: distributionFields(), frame: frameDistribution, round: roundDistribution, limit: wire.MaxSenderKeyDistributionMessage},
		{name: "DecryptionErrorMessage", fields: demFields(), round: roundDEM, limit: wire.MaxPlaintextContent},
		{name: "PlaintextContent", fields: []fld{sub(8, demFields()).must()}, frame: framePlaintext, round: roundPlaintext, strict: true},
		{name: "PlaintextContent/DEM", fields: demFields(), frame: in(framePlaintext, 8), round: roundPlaintext, limit: wire.MaxPlaintextContent},
		{name: "Fingerprint", fields: fingerprintFields(), round: roundFingerprint, limit: wire.MaxFingerprint},
		{name: "Fingerprint/Local", fields: []fld{raw(1, seq(32))}, frame: in(nil, 2, num32(1, 2)), round: roundFingerprint},
		{name: "Fingerprint/Remote", fields: []fld{raw(1, seq(32))}, frame: in(nil, 3, num32(1, 1)), round: roundFingerprint},
		{name: "Bundle", fields: bundleFields(), round: roundBundle, limit: wire.MaxBundle},
		{name: "Publication", fields: publicationFields(), round: roundPublication, limit: wire.MaxPublication},
		{name: "Publication/4", fields: signedFields(), frame: inPub(4), round: roundPublication},
		{name: "Publication/5", fields: signedFields(), frame: inPub(5), round: roundPublication},
		{name: "Publication/6", fields: signedFields()[:2], frame: inPub(6), round: roundPublication},
		{name: "Publication/7", fields: signedFields(), frame: inPub(7), round: roundPublication},
		{name: "Content", fields: contentFields(), round: roundContent, limit: wire.MaxContent},
		{name: "Content/HostingContext", fields: hostingFields(), frame: in(nil, 2), round: roundContent},
		{name: "Content/Timer", fields: timerFields(), frame: in(nil, 3), round: roundContent},
		{name: "Content/Sync", fields: syncFields(), frame: in(nil, 9), round: roundContent},
		{name: "AttachmentPointer", fields: attachmentFields(), round: roundAttachment, limit: wire.MaxAttachmentPointer},
		{name: "SessionRecord", fields: recordFields(), round: roundRecord, limit: wire.MaxSessionRecord},
		{name: "SessionRecord/Session", fields: sessionFields(), frame: in(nil, 1), round: roundRecord},
		{name: "Session", fields: sessionFields(), round: roundSession, limit: wire.MaxSession},
		{name: "Session/Chain6", fields: chainFields(), frame: in(nil, 6), round: roundSession},
		{name: "Session/Chain7", fields: chainFields(), frame: in(nil, 7), round: roundSession},
		{name: "Session/ChainKey", fields: chainKeyFields(), frame: in(in(nil, 6), 3), round: roundSession},
		{name: "Session/MessageKey", fields: messageKeyFields(), frame: in(in(nil, 7), 4), round: roundSession},
		{name: "Session/MessageKey (old)", fields: oldKeyFields(), frame: in(in(nil, 7), 4), round: roundSession},
		{name: "Session/PendingPreKey", fields: pending, frame: in(nil, 9), round: roundSession},
		{name: "Session/PendingKEM", fields: pendingKEMFields(), frame: in(nil, 14), round: roundSession},
		{name: "IdentityKeyPair", fields: []fld{raw(1, key33(15)), raw(2, seq(32))}, round: roundIdentity, limit: wire.MaxKeyRecord},
		{name: "PreKeyRecord", fields: []fld{num32(1, 5), raw(2, key33(16)), raw(3, seq(32))}, round: roundPreKey, limit: wire.MaxKeyRecord},
		{name: "SignedPreKeyRecord", fields: []fld{num32(1, 5), raw(2, seq(1569)), raw(3, seq(3169)), raw(4, seq(64)),
			fixed(5, 1700000000123)}, round: roundSigned, limit: wire.MaxKeyRecord},
		{name: "SenderKeyRecord", fields: []fld{sub(1, senderStateFields()).many(), sub(1, nil).many()}, round: roundSenderKey, limit: wire.MaxSenderKeyRecord},
		{name: "SenderKeyRecord/State", fields: senderStateFields(), frame: in(nil, 1), round: roundSenderKey},
		{name: "SenderKeyRecord/ChainKey", fields: chainKeyFields(), frame: in(in(nil, 1), 2), round: roundSenderKey},
		{name: "SenderKeyRecord/SigningKey", fields: []fld{raw(1, key33(14)), raw(2, seq(32))}, frame: in(in(nil, 1), 3), round: roundSenderKey},
		{name: "SenderKeyRecord/MessageKey", fields: chainKeyFields(), frame: in(in(nil, 1), 4), round: roundSenderKey},
	}
}

// each runs f once for every codec.
func each(t *testing.T, f func(t *testing.T, c codec)) {
	for _, c := range codecs() {
		t.Run(c.name, func(t *testing.T) { f(t, c) })
	}
}

// malformed requires ErrMalformed and no output, and an input left alone.
func malformed(t *testing.T, c codec, b []byte) {
	t.Helper()
	before := bytes.Clone(b)
	out, err := c.round(b)
	require.ErrorIs(t, err, wire.ErrMalformed, "%x", b)
	require.Nil(t, out)
	require.Equal(t, before, b)
}

// same requires that b reads as the sample does.
func same(t *testing.T, c codec, b []byte) {
	t.Helper()
	out, err := c.round(b)
	require.NoError(t, err, "%x", b)
	require.Equal(t, hex.EncodeToString(c.sample()), hex.EncodeToString(out))
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// vectors reads a part of wire-core-vectors.json.
func vectors(t testing.TB, part string, into any) {
	t.Helper()
	file, err := os.ReadFile("../../testdata/wire/wire-core-vectors.json")
	require.NoError(t, err)
	var parts map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file, &parts))
	require.NoError(t, json.Unmarshal(parts[part], into))
}

func TestSamplesAreCanonical(t *testing.T) {
	each(t, func(t *testing.T, c codec) { same(t, c, c.sample()) })
}

func errorsIsAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}

package interop_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Messages and records that the official library made parse here, and are
// written again to the same bytes; of mutated ones both say the same.
func TestInteropMessagesParse(t *testing.T) {
	p := interop.Start(t)
	r := random(t)
	inputs := make(map[interop.Kind][][]byte)
	add := func(kind interop.Kind, b []byte) {
		out, err := codecOf(kind).parse(b)
		require.NoError(t, err, "%s %x", kind, b)
		if out.written == nil {
			out.written = out.again
		}
		require.Equal(t, b, out.written, "%s", kind)
		inputs[kind] = append(inputs[kind], b)
	}
	for _, names := range [][2]string{{aliceName, bobName}, {"PNI:" + aliceName, "bert"}} {
		for _, oneTime := range []bool{false, true} {
			c := meet(t, p, r, names, interop.BundleOptions{OneTime: oneTime, PreKeyID: new(number(r)), SignedPreKeyID: new(number(r)), KyberPreKeyID: new(number(r))})
			c.sent = func(from int, m interop.Message, _, _ []byte) {
				kind := interop.KindSignalMessage
				if m.Type == interop.PreKey {
					kind = interop.KindPreKeySignalMessage
					requireBinding(t, p, m.Bytes, names)
				}
				add(kind, m.Bytes)
			}
			for range 20 { // all of them first messages
				c.send(0)
			}
			c.storm(cases(400), 30)
			c.roundTrips(20)
		}
	}
	for kind, built := range builds(r, p) {
		for _, b := range built {
			made, err := b.Parsed()
			require.NoError(t, err, kind)
			add(kind, made.Bytes)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(inputs)) {
		made := inputs[kind]
		mutated := make([][]byte, 0, 4*len(made))
		for _, b := range made {
			for range 4 {
				mutated = append(mutated, mutate(r, b))
			}
		}
		t.Run(string(kind), func(t *testing.T) { codecOf(kind).diff(t, p, append(made, mutated...)) })
	}
	t.Run("serviceId", func(t *testing.T) { serviceIDs(t, p, r) })
}

// requireBinding requires field 6 exactly where both names are service ids. It
// is there since 0.91.
func requireBinding(t *testing.T, p *interop.Peer, b []byte, names [2]string) {
	m, err := wire.ParsePreKeySignalMessage(b)
	require.NoError(t, err)
	from, fromErr := wire.ParseServiceID(names[0])
	to, toErr := wire.ParseServiceID(names[1])
	if fromErr != nil || toErr != nil || !p.Since(0, 91) {
		require.Nil(t, m.Message.Addresses)
		return
	}
	require.Equal(t, wire.AppendAddressBinding(nil, from, 1, to, 1), m.Message.Addresses)
}

// builds has the official library make messages and records of random parts.
func builds(r *rand.Rand, p *interop.Peer) map[interop.Kind][]interop.Parsing {
	out := make(map[interop.Kind][]interop.Parsing)
	add := func(kind interop.Kind, o interop.BuildOptions) { out[kind] = append(out[kind], p.SendBuild(kind, o)) }
	for range cases(200) {
		private := honestKey(r)
		record := interop.BuildOptions{
			KeyID: number(r), Timestamp: timestamp(r) >> 11, Public: private.PublicKey().Bytes(), Private: private.Bytes(),
			Signature: randomBytes(r, 64),
		}
		add(interop.KindPreKeyRecord, record)
		add(interop.KindSignedPreKeyRecord, record)
		add(interop.KindKyberPreKeyRecord, record)
		add(interop.KindIdentityKeyPair, interop.BuildOptions{})
		add(interop.KindSignalMessage, interop.BuildOptions{
			Version: pick(r, 3, 4), MACKey: randomBytes(r, 32), RatchetKey: publicKey(r), Counter: number(r), PreviousCounter: number(r),
			Ciphertext: randomBytes(r, r.IntN(100)), SenderIdentity: publicKey(r), ReceiverIdentity: publicKey(r),
			PQRatchet: randomBytes(r, r.IntN(50)),
		})
		request := interop.BuildOptions{
			Type: 7, Timestamp: timestamp(r) >> 11, Device: number(r),
			DecryptionError: wire.AppendDecryptionErrorMessage(nil, retryRequest(r)),
		}
		if r.IntN(2) == 0 {
			request.Original, request.Type = signalMessage(r), int(wire.TypeSignal)
		}
		add(interop.KindDecryptionErrorMessage, request)
		add(interop.KindPlaintextContent, request)
	}
	return out
}

// serviceIDs requires the same verdict on the three forms, and the same other
// forms of what parses.
func serviceIDs(t *testing.T, p *interop.Peer, r *rand.Rand) {
	kinds := [3]interop.Kind{interop.KindServiceIDString, interop.KindServiceIDBinary, interop.KindServiceIDFixed}
	var inputs [3][][]byte
	for i := range cases(1000) {
		id := wire.ServiceID{PNI: r.IntN(2) == 0, UUID: [16]byte(randomBytes(r, 16))}
		fixed := id.Fixed()
		for kind, b := range [][]byte{[]byte(id.String()), id.Binary(), fixed[:]} {
			if i%2 == 1 {
				b = mutate(r, b)
			}
			inputs[kind] = append(inputs[kind], b)
		}
	}
	for _, s := range []string{"", "ACI:" + aliceName, "pni:" + aliceName, "PNI:PNI:" + aliceName, "{" + aliceName + "}",
		"796ABEDB-CA4E-4F18-8803-1FDE5B921F9F", "796abedbca4e4f1888031fde5b921f9f", "00000000-0000-0000-0000-000000000000", "urn:uuid:" + aliceName} {
		inputs[0] = append(inputs[0], []byte(s))
	}
	for i, kind := range kinds {
		codecOf(kind).diff(t, p, inputs[i])
	}
}

var kindOf = map[wire.MessageType]interop.Kind{
	wire.TypeSignal: interop.KindSignalMessage,
	wire.TypePreKey: interop.KindPreKeySignalMessage,
}

// What the official library says of a failed message is what gembok says.
func TestInteropDecryptionErrors(t *testing.T) {
	p := interop.Start(t)
	r := random(t)
	for range cases(500) {
		typ := pick(r, wire.TypeSignal, wire.TypePreKey, wire.TypeSenderKey, wire.TypePlaintext)
		original := map[wire.MessageType]func(*rand.Rand) []byte{
			wire.TypeSignal: signalMessage, wire.TypePreKey: preKeySignalMessage, wire.TypeSenderKey: plaintextContent, wire.TypePlaintext: plaintextContent,
		}[typ](r)
		if r.IntN(4) == 0 {
			original = mutate(r, original)
		}
		at, device := timestamp(r)>>11, number(r)
		theirs, theirErr := p.SendBuild(interop.KindDecryptionErrorMessage, interop.BuildOptions{
			Original: original, Type: int(typ), Timestamp: at, Device: device,
		}).Parsed()
		ours, err := wire.NewDecryptionErrorMessage(original, typ, at, device)
		if kind, ok := kindOf[typ]; ok && err == nil { // the official library also looks at the keys
			_, err = codecOf(kind).parse(original)
			if errors.Is(err, keys.ErrKey) && theirErr == nil {
				require.NotNil(t, divergenceOf(kind, original), "%x", original)
				continue
			}
		}
		if theirErr != nil {
			requirePeerError(t, theirErr)
			require.Error(t, err, "%d %x: %v", typ, original, theirErr)
			continue
		}
		require.NoError(t, err, "%d %x", typ, original)
		require.Equal(t, theirs.Bytes, interop.Hex(wire.AppendDecryptionErrorMessage(nil, &ours)))
	}
}

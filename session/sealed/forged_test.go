package sealed_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// messages are one of each type from a to b, which b can read.
func (w *world) messages(t testing.TB, a, b *party) map[session.MessageType]*session.Message {
	t.Helper()
	out := make(map[session.MessageType]*session.Message)
	w.friends(t, a, b)
	out[session.TypeSenderKey] = w.grouped(t, a, b, "group")
	out[session.TypeSignal] = a.writes(t, b, "signal")
	require.NoError(t, a.Archive(ctx, b.Address()))
	out[session.TypePreKey] = a.writes(t, b, "prekey")
	out[session.TypePlaintext] = requestOf(t, w, a, b)
	for typ, m := range out {
		require.Equal(t, typ, m.Type)
	}
	return out
}

// sealedTypes are the numbers of the types inside an envelope (Section 1.4).
var sealedTypes = map[byte]session.MessageType{
	1: session.TypePreKey, 2: session.TypeSignal, 7: session.TypeSenderKey, 8: session.TypePlaintext,
}

func TestSS_15_TypeConfusion(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	messages := w.messages(t, alice, bob)
	for number := range byte(12) {
		for is, m := range messages {
			raw := wire.AppendSealedContent(nil, &wire.SealedContent{
				Type: wire.MessageType(is), Certificate: alice.cert.Bytes(), Content: m.Bytes,
			})
			require.Equal(t, byte(8), raw[0])
			raw[1] = number
			e, err := alice.sender.SealRaw(bob.Identity(), raw)
			require.NoError(t, err)
			if sealedTypes[number] == is {
				continue
			}
			r, err := bob.refuses(t, w, e)
			require.Zero(t, session.ReasonOf(err), "%d as %d: %v", is, number, err)
			require.True(t, isAny(err, session.ErrMalformed, session.ErrVersion, keys.ErrKey), "%d as %d: %v", is, number, err)
			if sealedTypes[number] == 0 {
				require.ErrorIs(t, err, session.ErrMalformed)
				require.Nil(t, r)
			}
		}
	}
	for is, m := range messages {
		_, err := alice.sender.Seal(bob.Identity(), &session.Message{Type: 9, Bytes: m.Bytes}, sealed.HintDefault, nil)
		require.ErrorIs(t, err, session.ErrMalformed)
		r, err := bob.receiver.Open(ctx, alice.seals(t, bob, m), w.now, nil)
		require.NoError(t, err)
		require.Equal(t, is == session.TypePlaintext, r.Retry != nil)
		require.Equal(t, is != session.TypePlaintext, r.Received != nil)
	}
}

func isAny(err error, any ...error) bool {
	for _, e := range any {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Only a request may be in an envelope without encryption of its own, and only
// a request is in it.
func TestSS_15_PlaintextIsARequest(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	body := wire.AppendContent(nil, &wire.Content{Body: []byte("told by nobody")})
	request := requestOf(t, w, alice, bob).Bytes
	for name, b := range map[string][]byte{
		"empty":       nil,
		"marker":      {0xc0},
		"body":        append(append([]byte{0xc0}, body...), 0x80),
		"body beside": append(append(append([]byte(nil), request[:len(request)-1]...), body...), 0x80),
		"encoded":     body,
	} {
		r, err := bob.refuses(t, w, alice.seals(t, bob, &session.Message{Type: session.TypePlaintext, Bytes: b}))
		require.True(t, isAny(err, session.ErrMalformed, session.ErrVersion), "%s: %v", name, err)
		require.Nil(t, r.Retry, name)
		require.Nil(t, r.Received, name)
		require.Equal(t, alice.Address(), r.From)
	}
}

func TestOpenWithoutGroups(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	e := alice.seals(t, bob, w.grouped(t, alice, bob, "group"))
	bob.unchanged(t, func() {
		r, err := sealed.NewReceiver(bob.Device, nil, w.trust, nil).Open(ctx, e, w.now, nil)
		require.ErrorIs(t, err, sealed.ErrGroup)
		require.Zero(t, session.ReasonOf(err))
		require.Equal(t, alice.Address(), r.From)
	})
	bob.opens(t, w, e, "group")
}

// An envelope that somebody changed is no envelope, and nothing happened.
func TestOpenBitFlips(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	w.friends(t, alice, bob)
	for name, e := range w.bothVersions(t, alice, bob) {
		bob.unchanged(t, func() {
			step := 1
			if testing.Short() {
				step = 61
			}
			for bit := 4; bit < 8*len(e); bit += step { // the low nibble of the version counts for nothing
				flipped := bytes.Clone(e)
				flipped[bit/8] ^= 1 << (bit % 8)
				r, err := bob.receiver.Open(ctx, flipped, w.now, nil)
				require.Error(t, err, "%s: bit %d", name, bit)
				require.Nil(t, r)
			}
			for n := range e {
				if n%step == 0 {
					_, err := bob.receiver.Open(ctx, e[:n], w.now, nil)
					require.Error(t, err, "%s: %d bytes", name, n)
				}
			}
		})
		bob.opens(t, w, e, name)
	}
}

// bothVersions are two messages from a to b, each in an envelope of one version.
func (w *world) bothVersions(t testing.TB, a, b *party) map[string][]byte {
	t.Helper()
	m := a.writes(t, b, "version 2")
	to := []sealed.Recipient{{User: b.Address().User, Devices: []sealed.Device{{ID: b.Address().Device}}, Identity: b.Identity()}}
	sent, err := a.sender.SealMany(to, nil, m, sealed.HintDefault, nil)
	require.NoError(t, err)
	upload, err := sealed.Split(sent)
	require.NoError(t, err)
	return map[string][]byte{
		"version 1": a.seals(t, b, a.writes(t, b, "version 1")),
		"version 2": upload.Received(&upload.Deliveries[0]),
	}
}

// Whatever depends on a secret fails with one and the same error.
func TestSS_16_OneError(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, carolID, 1, nil)
	w.friends(t, alice, bob)
	e, others := w.bothVersions(t, alice, bob), w.bothVersions(t, alice, bob)
	v1, err := wire.ParseSealedMessage(e["version 1"])
	require.NoError(t, err)
	end := len(e["version 1"])
	// Where an envelope of version 1 has its parts: the ephemeral key, the sender's
	// key and its MAC, the message and its MAC.
	for name, at := range map[string][]int{
		"version 1": {1 + 2 + 20, 1 + 35 + 2, 1 + 35 + 2 + 40, end - len(v1.Message), end - 11, end - 10, end - 1},
		"version 2": {1, 32, 33, 48, 49, 80, 81, len(e["version 2"]) - 1},
	} {
		for _, i := range at {
			flipped := bytes.Clone(e[name])
			flipped[i] ^= 0x10
			_, err := bob.refuses(t, w, flipped)
			require.Equal(t, session.ErrAuth, err, "%s, byte %d", name, i)
		}
		_, err := carol.refuses(t, w, e[name])
		require.Equal(t, session.ErrAuth, err, name)
	}
	// Whoever carries them exchanges their parts.
	a, b := e["version 2"], others["version 2"]
	for _, swapped := range [][]byte{
		append(bytes.Clone(a[:49]), b[49:]...), append(bytes.Clone(a[:33]), b[33:]...), append(bytes.Clone(a[:81]), b[81:]...),
		append(append(bytes.Clone(a[:33]), b[33:49]...), a[49:]...),
	} {
		_, err := bob.refuses(t, w, swapped)
		require.Equal(t, session.ErrAuth, err)
	}
	a, b = e["version 1"], others["version 1"]
	for _, cut := range []int{1 + 35, 1 + 35 + 45} {
		_, err := bob.refuses(t, w, append(bytes.Clone(a[:cut]), b[cut:]...))
		require.Equal(t, session.ErrAuth, err)
	}
}

// How long a message is shows as little as without an envelope.
func TestSS_16_Padding(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	w.friends(t, alice, bob)
	lengths := make(map[int]bool)
	for _, body := range []string{"", "a", "no", "a longer answer than that"} {
		lengths[len(alice.seals(t, bob, alice.writes(t, bob, body)))] = true
	}
	require.Len(t, lengths, 1)
}

// Whoever has an identity key some day learns who sent what was recorded, and
// not what: that has the secrecy of its session.
func TestSS_17_NoForwardSecrecyOfTheSender(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	for name, e := range w.bothVersions(t, alice, bob) {
		bob.opens(t, w, e, name)
		thief, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: bob.Address(), Identity: bob.IdentityKeyPair()},
			&session.Options{Content: true})
		require.NoError(t, err)
		r, err := sealed.NewReceiver(thief, nil, w.trust, nil).Open(ctx, e, w.now, nil)
		require.ErrorAs(t, err, new(*session.PreKeyNotFoundError))
		require.Equal(t, alice.Address(), r.From)
		require.Nil(t, r.Received)
	}
}

// Whoever has a recipient's identity key makes envelopes to him in the name of
// everybody whose certificate he saw; what is inside has to stand for itself.
func TestSS_17_RecipientKeyForges(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	w.friends(t, alice, bob)
	forged := func(m *session.Message) []byte {
		e, err := sealed.SealForged(bob.IdentityKeyPair(), alice.cert, m)
		require.NoError(t, err)
		return e
	}
	m := alice.writes(t, bob, "from alice")
	changed := &session.Message{Type: m.Type, Bytes: bytes.Clone(m.Bytes)}
	changed.Bytes[len(m.Bytes)/2] ^= 1
	_, err := bob.refuses(t, w, forged(changed))
	require.ErrorIs(t, err, session.ErrAuth)
	carol := w.joins(t, carolID, 1, nil)
	_, err = bob.refuses(t, w, forged(carol.writes(t, bob, "from carol")))
	requireMismatch(t, err, alice.Identity(), carol.Identity())
	bob.opens(t, w, forged(m), "from alice")

	// A request has nothing inside that could: it is worth what one without an
	// envelope is.
	r, err := bob.receiver.Open(ctx, forged(requestOf(t, w, alice, bob)), w.now, nil)
	require.NoError(t, err)
	require.NotNil(t, r.Retry)
}

// A relay gives everybody what is somebody else's.
func TestOpenLyingRelay(t *testing.T) {
	w := newWorld(t)
	everybody := []*party{w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, "carol", 1, nil)}
	type letter struct {
		to       *party
		envelope []byte
		body     string
	}
	var letters []letter
	for i, from := range everybody {
		for j, to := range everybody {
			if i != j {
				body := string(rune('a'+i)) + " to " + string(rune('a'+j))
				letters = append(letters, letter{to, from.seals(t, to, from.writes(t, to, body)), body})
			}
		}
	}
	for _, l := range letters {
		for _, p := range everybody {
			if p != l.to {
				_, err := p.refuses(t, w, l.envelope)
				require.Equal(t, session.ErrAuth, err)
			}
		}
	}
	for _, l := range letters {
		l.to.opens(t, w, l.envelope, l.body)
	}
}

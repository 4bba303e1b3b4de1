package session_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// secrets are what a side has to keep to itself: its identity, prekeys and all
// keys of the session with peer.
func (s *side) secrets(t testing.TB, peer *side) [][]byte {
	t.Helper()
	out := [][]byte{s.identity.PrivateBytes()}
	for _, kind := range []string{"prekey", "signed", "kem"} {
		for _, r := range s.list(t, kind, "-") {
			stored, err := wire.ParseStoredPreKey(r.Value[1:])
			require.NoError(t, err)
			rec, err := wire.ParseSignedPreKeyRecord(stored.Record)
			if kind == "prekey" {
				var one wire.PreKeyRecord
				one, err = wire.ParsePreKeyRecord(stored.Record)
				rec.Private = one.Private
			}
			require.NoError(t, err)
			out = append(out, rec.Private)
		}
	}
	if peer == nil {
		return out
	}
	state := s.state(t, peer)
	out = append(out, state.RootKey, state.PQRatchet)
	if state.Sender != nil {
		out = append(out, state.Sender.PrivateKey, state.Sender.Key)
	}
	for i := range state.Receivers {
		out = append(out, state.Receivers[i].Key)
	}
	return out
}

func TestMEM_03_NothingPrintsSecrets(t *testing.T) {
	p := friends(t)
	bundleOf(t, p.alice)
	plaintext := "a plaintext that nobody but the two may read"
	m := p.bob.send(t, p.alice, plaintext)
	r := p.alice.reads(t, p.bob, m, plaintext)
	secrets := append(p.alice.secrets(t, p.bob), []byte(plaintext))
	require.Greater(t, len(secrets), 8)

	testutil.RequireRedacted(t, &session.Account{Address: aliceAddress, Identity: p.alice.identity}, secrets...)
	testutil.RequireRedacted(t, r, secrets...)
	require.NoError(t, p.alice.Update(ctx, nil, func(tx *session.Tx) error {
		require.NoError(t, tx.Load(p.alice.key("session", bobAddress.User, "1")))
		testutil.RequireRedacted(t, tx, secrets...)
		return nil
	}))
	people := newRegistry(t, at(ani, 1), at(budi, 1))
	sending := people.sends(t, people.of(ani, 1), plaintext, budi)
	testutil.RequireRedacted(t, sending, secrets...)
	require.Empty(t, unprinted(t, func(v any) {
		for _, text := range testutil.Printed(t, v) {
			testutil.NoTrace(t, text, secrets...)
		}
	}, map[string]any{
		"Device": p.alice.Device, "Address": aliceAddress, "Message": m, "MessageType": m.Type, "Options": session.Options{},
		"PreKeyPolicy": session.PreKeyPolicy{}, "Due": session.Due{},
		"DecryptOptions": session.DecryptOptions{Identity: new(keys.IdentityKey)},
		"Event":          session.Event{Kind: session.IdentityChanged, Address: aliceAddress, Accepted: p.alice.Identity(), Seen: p.bob.Identity()},
		"Content":        &session.Content{Body: []byte(plaintext), SyncTo: bobAddress.User},
		"Link":           linkOf(t, p.alice),
		"RetryReason":    session.ReasonNoSession,
		"EventKind":      session.IdentityChanged, "EventID": session.EventID{1}, "MessageID": r.ID,
		"PeerIdentity": session.PeerIdentity{Accepted: p.alice.Identity(), AcceptedAt: time.Unix(1, 0)},
		"Account":      &session.Account{Identity: p.alice.identity}, "Received": r,
		"PreKeyNotFoundError":    &session.PreKeyNotFoundError{Kind: "KEM", ID: 1},
		"BaseKeyReusedError":     &session.BaseKeyReusedError{},
		"IdentityMismatchError":  &session.IdentityMismatchError{Expected: p.alice.Identity()},
		"UntrustedIdentityError": &session.UntrustedIdentityError{Seen: p.bob.Identity()},
		"Directory":              nil, "PeerDevice": session.PeerDevice{Device: 1}, "Peer": &session.Peer{User: "ani"},
		"DirectoryError": &session.DirectoryError{User: "ani", Err: session.ErrMalformed},
		"Difference":     session.Difference{User: "ani"}, "Claim": session.Claim{Epoch: 1, Manifest: []byte("signed")},
		"Sending": sending, "Result": sending.Results[0], "Timer": session.Timer{Duration: time.Hour, Sender: "ani"},
	}))
	for how, text := range testutil.Printed(t, p.alice.Device) {
		if how != "%T" {
			require.Contains(t, text, "redacted", how)
		}
	}
}

// unprinted has check look at each value, and returns the exported types
// that have none.
func unprinted(t *testing.T, check func(any), values map[string]any) (missing []string) {
	t.Helper()
	for _, name := range testutil.ExportedTypes(t) {
		if slices.Contains([]string{"Options", "SendOptions", "Gate", "Tx"}, name) { // a func cannot be marshaled; Tx is looked at above
			continue
		}
		v, ok := values[name]
		if !ok {
			missing = append(missing, name)
			continue
		}
		check(v)
	}
	return missing
}

// TestMEM_02_ErrorTexts collects the error of every class of bad input; the
// other tests look at each error they get in the same way.
func TestMEM_02_ErrorTexts(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	other := keys.GenerateIdentityKeyPair().Public()
	stranger := session.Address{User: "+4915112345678", Device: 1}
	var all []error
	add := func(_ any, err error) {
		t.Helper()
		require.Error(t, err)
		all = append(all, err)
	}
	for i := range first.Bytes {
		bad := flip(first, i, 0x41)
		if i > 300 && i%10 > 0 { // the KEM ciphertext
			continue
		}
		if r, err := p.bob.reopen(t).Decrypt(ctx, p.alice.Address(), bad, nil); r == nil {
			add(nil, err)
		}
		add(p.bob.Decrypt(ctx, p.alice.Address(), &session.Message{Type: first.Type, Bytes: first.Bytes[:i]}, nil))
	}
	p.bob.saves(t, p.alice, first, "hello")
	add(p.bob.Decrypt(ctx, p.alice.Address(), first, nil))
	p.goesOn(t)
	m := p.alice.send(t, p.bob, "later")
	for i := range m.Bytes {
		add(p.bob.Decrypt(ctx, p.alice.Address(), flip(m, i, 0x81), nil))
		add(p.bob.Decrypt(ctx, p.alice.Address(), &session.Message{Type: m.Type, Bytes: m.Bytes[:i]}, nil))
	}
	add(p.bob.Decrypt(ctx, p.alice.Address(), nil, nil))
	add(p.bob.Decrypt(ctx, stranger, m, nil))
	add(p.bob.Decrypt(ctx, p.alice.Address(), m, &session.DecryptOptions{Identity: &other}))
	add(p.bob.Encrypt(ctx, stranger, []byte("text")))
	add(p.bob.Encrypt(ctx, session.Address{User: "+4915112345678", Device: 1000}, nil))
	add(p.bob.ExportSession(ctx, stranger))
	add(nil, p.bob.ImportSession(ctx, stranger, []byte{0xFF}))
	add(nil, p.bob.Archive(ctx, stranger))
	add(session.Open(ctx, p.bob.store, stranger, nil))
	add(session.Create(ctx, p.bob.store, session.Account{Address: bobAddress}, nil))
	secrets := append(p.alice.secrets(t, p.bob), p.bob.secrets(t, p.alice)...)
	for _, err := range all {
		requireQuiet(t, err)
		require.NotContains(t, err.Error(), stranger.User)
		for ; err != nil; err = errors.Unwrap(err) {
			testutil.NoTrace(t, err.Error(), secrets...)
		}
	}
	require.Greater(t, len(all), 900)
}

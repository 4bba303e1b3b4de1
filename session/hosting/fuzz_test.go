package hosting_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// FuzzF25Manifest: what is read has one encoding, nobody but the account signs it,
// and all that is shown can be.
func FuzzF25Manifest(f *testing.F) {
	m := follow(f, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	next := follow(f, m, hosted(3, bumi()))
	inner := hosting.Signed(next)
	f.Add(m.Bytes())
	f.Add(next.Bytes())
	f.Add(evidence(m, next))
	f.Add([]byte{})
	hash := m.Hash()
	f.Add(wire.AppendContent(nil, &wire.Content{Manifest: m.Bytes(), Timer: &wire.Timer{Seconds: 5, Version: 1}, Hosting: &wire.HostingContext{
		Sender: toko, SenderDevice: 1, Recipient: budi, Epoch: 1, Hash: hash[:], SeenEpoch: 1, SeenHash: hash[:]}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 32<<10 {
			return
		}
		before := bytes.Clone(b)
		r := rules()
		if r.Restore(b) == nil {
			_ = r.Label(start)
			_ = r.May(toko, 1, deviceKey(1).Public(), start)
			r.See(toko, next, start)
			require.NoError(t, rules().Restore(r.Stored()))
		}
		fuzzGate(t, b)
		if e, err := hosting.ParseEvidence(b); err == nil {
			_, err = hosting.ParseEvidence(e.Bytes())
			require.NoError(t, err)
		}
		got, err := hosting.Parse(b)
		require.Equal(t, before, b)
		if err != nil {
			require.True(t, errors.Is(err, session.ErrMalformed) || errors.Is(err, session.ErrTooLarge))
			require.Nil(t, got)
			return
		}
		again, err := hosting.Parse(got.Bytes())
		require.NoError(t, err)
		require.Equal(t, got, again)
		l := hosting.LabelOf(nil, got)
		require.NotEmpty(t, l.Lines("id"))
		if got.Verify(start) == nil { // one that nobody else could sign
			signed := hosting.Signed(got)
			require.True(t, bytes.Equal(signed, hosting.Signed(m)) || bytes.Equal(signed, inner))
		}
	})
}

// fuzzGate gives a gate bytes as each that others make: whatever they are, what is
// kept of them can be read, and shown.
func fuzzGate(t *testing.T, b []byte) {
	g := hosting.NewGate(budi, nil)
	for _, stored := range [][]byte{nil, b} {
		records := []keystore.Record{{Key: keystore.Key{Kind: "hosting", Owner: toko}, Version: 1, Value: stored}}
		changes, note, events := g.Receive(start, records, at(toko, 1), deviceKey(1).Public(), b)
		_, err := g.Receipt(&session.Received{Note: note})
		require.NoError(t, err)
		more, told, _ := g.See(start, records, toko, b)
		for _, c := range append(changes, more...) {
			require.NoError(t, rules().Restore(c.Value))
		}
		for _, e := range append(events, told...) {
			_, err := g.Notice(&e)
			require.NoError(t, err)
		}
		g.Claim(start, records, toko)
		g.Wants(start, records, toko)
		_ = g.Send(start, records, at(toko, 1), deviceKey(1).Public())
	}
	if r, err := g.Receipt(&session.Received{Note: b}); err == nil {
		_ = r.Label.Lines("id")
	}
	if n, err := g.Notice(&session.Event{Kind: session.LabelNotice, Note: b}); err == nil {
		require.NotEmpty(t, n.State)
	}
}

package session_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A herald is a gate that goes by records: of each user the text that is
// believed for a manifest, and whether somebody agreed to what begins with
// "hosted". It counts its calls, and does nothing else beside.
type herald struct {
	own   string
	mu    *sync.Mutex
	calls map[string]int // by method and user
}

var (
	errDisagreed = errors.New("not agreed to")
	errDoubted   = errors.New("not believed")
	nobody       = []byte("nobody knows")
)

func newHerald(own string) *herald {
	return &herald{own: own, mu: new(sync.Mutex), calls: make(map[string]int)}
}

func (h *herald) count(method, user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[method+" "+user]++
}

func shownKey(user string) keystore.Key  { return keystore.Key{Kind: "shown", Owner: user} }
func agreedKey(user string) keystore.Key { return keystore.Key{Kind: "agreed", Owner: user} }

func (h *herald) Keys(users []string) []keystore.Key {
	out := []keystore.Key{shownKey(h.own)}
	for _, u := range users {
		if u != h.own {
			out = append(out, shownKey(u), agreedKey(u))
		}
	}
	return out
}

// read returns the records of one user, after those of the own account.
func (h *herald) read(records []keystore.Record, user string) (own, shown, agreed []byte) {
	if own = records[0].Value; user == "" || user == h.own {
		return own, own, nil
	}
	return own, records[1].Value, records[2].Value
}

func (h *herald) Wants(_ time.Time, records []keystore.Record, user string) bool {
	h.count("Wants", user)
	_, shown, _ := h.read(records, user)
	return user != h.own && shown == nil
}

func (h *herald) See(_ time.Time, records []keystore.Record, user string, manifest []byte) ([]keystore.Change, []session.Event, error) {
	h.count("See", user)
	_, shown, _ := h.read(records, user)
	told := []session.Event{{Kind: session.LabelNotice, Address: session.Address{User: user}, Note: manifest}}
	known := len(shown) > 0 && !bytes.Equal(shown, nobody)
	switch {
	case manifest == nil && known, bytes.HasPrefix(manifest, []byte("bad")):
		return nil, told, errDoubted
	case manifest == nil:
		manifest, told = nobody, nil
	case bytes.Equal(shown, manifest):
		return nil, nil, nil
	}
	return []keystore.Change{{Op: keystore.Put, Key: shownKey(user), Value: manifest}}, told, nil
}

func (h *herald) Claim(_ time.Time, records []keystore.Record, to string) (c session.Claim) {
	h.count("Claim", to)
	own, shown, _ := h.read(records, to)
	if own != nil {
		c.Epoch, c.Hash = uint64(len(own)), sha256.Sum256(own)
	}
	if shown != nil {
		c.SeenEpoch, c.SeenHash = uint64(len(shown)), sha256.Sum256(shown)
	}
	if to != "" {
		c.Manifest = own
	}
	return c
}

func (h *herald) Send(_ time.Time, records []keystore.Record, to session.Address, _ keys.IdentityKey) error {
	h.count("Send", to.User)
	_, shown, agreed := h.read(records, to.User)
	if bytes.HasPrefix(shown, []byte("hosted")) && agreed == nil {
		return errDisagreed
	}
	return nil
}

func (h *herald) Receive(_ time.Time, _ []keystore.Record, from session.Address, _ keys.IdentityKey, _ []byte) ([]keystore.Change, []byte, []session.Event) {
	h.count("Receive", from.User)
	return nil, nil, nil
}

// hears opens a side's device again with a herald.
func (s *side) hears(t testing.TB) *herald {
	t.Helper()
	h := newHerald(s.Address().User)
	o := *s.opts
	o.Gate = h
	s.opts = &o
	var err error
	s.Device, err = session.Open(ctx, s.store, s.Address(), s.opts)
	require.NoError(t, err)
	return h
}

// shows has a record say that a text was believed for a user's manifest.
func (s *side) shows(t *testing.T, user, text string) {
	t.Helper()
	write(t, s, shownKey(user), text)
}

// contextOf is what a side's herald makes a message to a user say of hosting: own
// and seen are the texts, "" is none.
func contextOf(from session.Address, to, own, seen string) *wire.HostingContext {
	out := &wire.HostingContext{Sender: from.User, SenderDevice: from.Device, Recipient: to}
	if own != "" {
		hash := sha256.Sum256([]byte(own))
		out.Epoch, out.Hash = uint64(len(own)), hash[:]
	}
	if seen != "" {
		hash := sha256.Sum256([]byte(seen))
		out.SeenEpoch, out.SeenHash = uint64(len(seen)), hash[:]
	}
	return out
}

// said is what the plaintext of a message says, in what it is a copy of.
func said(t testing.TB, plaintext []byte) *wire.Content {
	t.Helper()
	c, err := wire.ParseContent(slices.Clone(plaintext))
	require.NoError(t, err)
	if c.Sync != nil {
		require.Nil(t, c.Hosting)
		require.Nil(t, c.Manifest)
		return said(t, c.Sync.Content)
	}
	return c
}

// deletes has records deleted.
func (s *side) deletes(t testing.TB, all ...keystore.Key) {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		for _, k := range all {
			require.NoError(t, tx.Delete(k))
		}
		return nil
	}))
}

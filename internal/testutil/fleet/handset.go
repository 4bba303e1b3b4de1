package fleet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var background = context.Background()

func memory() keystore.Store { return keystore.NewMemory() }

// must is for what cannot fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func compare(a, b session.Address) int {
	return cmp.Or(strings.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device))
}

// A handset is a device as long as its store lives: one that registers again is
// another one. It keeps what the app and the oracle know of it.
type handset struct {
	*session.Device
	w     *world
	n     int
	at    session.Address
	store keystore.Store
	line  *line
	gone  bool // removed, or registered again

	ends   map[end]*conversation
	read   map[*letter]*reading
	met    map[session.Address]map[string]bool // identity keys that wrote to it
	events map[session.EventID]session.Event   // that are not acknowledged
	staged []*letter                           // read, and not acknowledged
	backup *backup
	put    bool            // it was put back at least once
	ever   map[string]bool // base keys of sessions that it ever had
}

// An end is what is known of one session: who the peer is, and the base key.
type end struct {
	peer session.Address
	base string
}

// A conversation is this side of one session.
type conversation struct {
	*testutil.Oracle
	restored bool // its state came from a backup
}

// A reading is what a letter came to.
type reading struct {
	got   *session.Received
	acked time.Time // zero: not yet
}

// A backup is the store of a handset, and what was known of it then.
type backup struct {
	records []keystore.Record
	mark    uint64
	ends    map[end]*conversation
	read    map[*letter]*reading
	met     map[session.Address]map[string]bool
	events  map[session.EventID]session.Event
	staged  []*letter
}

// install makes a new device and registers it.
func (w *world) install(a session.Address, identity *keys.IdentityKeyPair) *handset {
	w.made++
	h := &handset{
		w: w, n: w.made, at: a, store: memory(), line: newLine(w.server, a), ends: map[end]*conversation{},
		ever: map[string]bool{}, read: map[*letter]*reading{}, met: map[session.Address]map[string]bool{}, events: map[session.EventID]session.Event{},
	}
	var err error
	account := session.Account{Address: a, Identity: identity, RegistrationID: uint32(w.made)%16380 + 1}
	h.Device, err = session.Create(background, h.store, account, w.options(h))
	require.NoError(w.t, err)
	p, err := h.Publish(background)
	require.NoError(w.t, err)
	w.server.register(h, p)
	require.NoError(w.t, h.MarkPublished(background, p))
	return h
}

func (w *world) options(h *handset) *session.Options {
	return &session.Options{
		Now: func() time.Time { return w.now }, PreKeys: session.PreKeyPolicy{OneTime: 8, Low: 4},
		Content:   w.content,
		Directory: h.line,
	}
}

// save makes a backup.
func (h *handset) save() {
	b := &backup{read: map[*letter]*reading{}, met: map[session.Address]map[string]bool{}, events: maps.Clone(h.events), staged: slices.Clone(h.staged)}
	for _, r := range testutil.Records(h.w.t, h.store) {
		r.Value = bytes.Clone(r.Value)
		b.records = append(b.records, r)
	}
	b.ends = cloned(h.ends)
	for l, r := range h.read {
		c := *r
		b.read[l] = &c
	}
	for a, m := range h.met {
		b.met[a] = maps.Clone(m)
	}
	b.mark = h.generation()
	h.backup = b
}

func cloned(ends map[end]*conversation) map[end]*conversation {
	out := make(map[end]*conversation, len(ends))
	for e, c := range ends {
		out[e] = &conversation{c.Clone(), c.restored}
	}
	return out
}

// putBack opens the device from its backup, which the app notices by the mark
// that it kept.
func (h *handset) putBack() {
	w, b := h.w, h.backup
	newest := h.generation()
	if b == nil || newest <= b.mark {
		return
	}
	store := memory()
	var changes []keystore.Change
	for _, r := range b.records {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: bytes.Clone(r.Value)})
	}
	_, err := store.Commit(background, changes...)
	require.NoError(w.t, err)
	require.ErrorIs(w.t, session.CheckGeneration(background, store, newest), keystore.ErrRolledBack)
	h.store, h.put, h.backup = store, true, nil
	h.ends, h.read, h.met, h.events, h.staged = cloned(b.ends), b.read, b.met, b.events, b.staged
	for _, c := range h.ends {
		c.restored = true
	}
	h.Device, err = session.Open(background, store, h.at, w.options(h))
	require.NoError(w.t, err)
	before := h.generation()
	_, err = h.Send(background, w.names, &session.Content{Body: []byte("too early")}, &session.SendOptions{Group: "a group"})
	require.ErrorIs(w.t, err, keystore.ErrRolledBack)
	require.Equal(w.t, before, h.generation())
	require.NoError(w.t, h.AfterRestore(background))
	w.count["put back"]++
	w.server.entries[h.at].outdated = true
	w.upkeep(h)
}

func (h *handset) generation() uint64 {
	g, err := h.store.Generation(background)
	require.NoError(h.w.t, err)
	return g
}

// load returns a record's body; nil where there is none.
func (h *handset) load(kind, owner, name string) []byte {
	recs, err := h.store.Load(background, keystore.Key{Scope: h.at.String(), Kind: kind, Owner: owner, Name: name})
	require.NoError(h.w.t, err)
	if recs[0].Version == 0 {
		return nil
	}
	return recs[0].Value[1:]
}

func (h *handset) index(peer session.Address) wire.SessionIndex {
	idx, err := wire.ParseSessionIndex(h.load("session", peer.User, strconv.Itoa(int(peer.Device))))
	require.NoError(h.w.t, err)
	return idx
}

// current is the current session with a peer; nil for none.
func (h *handset) current(peer session.Address) *wire.Session {
	idx := h.index(peer)
	if idx.Current == nil {
		return nil
	}
	s, err := wire.ParseSession(idx.Current)
	require.NoError(h.w.t, err)
	return s
}

// holds reports whether the device still has a session, and may try it.
func (h *handset) holds(e end) bool {
	idx := h.index(e.peer)
	if idx.Current != nil {
		s, err := wire.ParseSession(idx.Current)
		require.NoError(h.w.t, err)
		if string(s.BaseKey) == e.base {
			return true
		}
	}
	name := sha256.Sum256([]byte(e.base))
	return slices.ContainsFunc(idx.Archived, func(n wire.ArchivedNote) bool {
		return bytes.Equal(n.Name, name[:]) && h.w.now.Sub(time.UnixMilli(int64(n.ArchivedAt))) <= month
	})
}

const month = 30 * 24 * time.Hour

// canBegin reports whether the device has the prekeys that a first message
// w.names, and began no session with it before.
func (h *handset) canBegin(l *letter) bool {
	outer, err := wire.ParsePreKeySignalMessage(l.m.Bytes)
	require.NoError(h.w.t, err)
	has := func(kind string, id uint32) bool { return h.load(kind, "-", strconv.Itoa(int(id))) != nil }
	if !has("signed", outer.SignedPreKeyID) || outer.HasPreKeyID && !has("prekey", outer.PreKeyID) {
		return false
	}
	if has("kem", outer.KEMPreKeyID) {
		return true
	}
	base := sha256.Sum256(outer.BaseKey)
	used := h.load("basekey", fmt.Sprintf("%d,%d", outer.SignedPreKeyID, outer.KEMPreKeyID), hex.EncodeToString(base[:]))
	return has("lastresort", outer.KEMPreKeyID) && used == nil
}

// trust is what the device knows of a peer's identity key.
func (h *handset) trust(peer session.Address) session.PeerIdentity {
	id, err := h.PeerIdentity(background, peer)
	require.NoError(h.w.t, err)
	return id
}

// A roster is what a device has on record of a user.
type roster struct {
	listed  bool              // there was a list of the Directory's
	devices map[uint32]uint32 // that it sends to, with their registration ids
}

func (h *handset) roster(user string) roster {
	p, err := h.Peer(background, user)
	require.NoError(h.w.t, err)
	stored, err := wire.ParsePeer(h.load("peer", user, ""))
	require.NoError(h.w.t, err)
	out := roster{listed: stored.ListedAt != 0, devices: map[uint32]uint32{}}
	require.Len(h.w.t, p.Devices, len(stored.Devices))
	for _, d := range p.Devices {
		_, twice := out.devices[d.Device]
		require.False(h.w.t, twice)
		if d.Stale.IsZero() {
			out.devices[d.Device] = d.RegistrationID
		}
	}
	return out
}

func nameOf(s *wire.Session) string {
	name := sha256.Sum256(s.BaseKey)
	return string(name[:])
}

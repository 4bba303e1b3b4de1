package hosting

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A profile is all that is kept of an account: the record, and what is remembered so
// that nothing is asked or told too often. The zero value is that of an account of
// which nothing was heard.
type profile struct {
	record
	asked    time.Time // when the directory was asked last, and had nothing new
	told     uint64    // epoch of the own manifest that the account said to have seen last
	warned   time.Time // when something was told that changed nothing
	warning  reason    // and what
	unlisted [2]uint64 // devices that were told of, a bit each
}

func (h *profile) bytes() []byte {
	w := h.record.wire()
	w.Asked, w.Told, w.Warned, w.Warning = stamp(h.asked), h.told, stamp(h.warned), uint32(h.warning)
	w.Unlisted, w.UnlistedToo = h.unlisted[0], h.unlisted[1]
	return wire.AppendHosting(nil, w)
}

// parseProfile reads what bytes returned; errors are those of parseRecord.
func parseProfile(b []byte) (h profile, err error) {
	w, err := wire.ParseHosting(b)
	if err != nil {
		return profile{}, err
	}
	if h.record, err = recordOf(w); err != nil {
		return profile{}, err
	}
	h.asked, h.told, h.warned, h.warning = moment(w.Asked), w.Told, moment(w.Warned), reason(w.Warning)
	h.unlisted = [2]uint64{w.Unlisted, w.UnlistedToo}
	return h, nil
}

// A known is a profile as it is stored, and what would be computed from it each time.
// It is not changed.
type known struct {
	profile
	user   string
	stored []byte
	hash   [32]byte // of the newest manifest
	signed []byte   // its bytes
}

// nothing is known of an account without a record.
var nothing known

// size is what k counts for in a memory: its stored form, and itself.
func (k *known) size() int { return len(k.stored) + 512 }

// maxMemory bounds the stored form of the records that a Gate remembers as they
// were read, in bytes: those of some 2,000 accounts.
const maxMemory = 2 << 20

// A memory has records as they were read. Each is compared with the stored form, so
// that nothing depends on it but time.
type memory struct {
	own, last atomic.Pointer[known] // those that were read last: of the own account, of others

	mu   sync.RWMutex
	all  map[string]*known
	size int
}

// read returns what the record of a user says. The error is session.ErrCorrupt.
func (g *Gate) read(records []keystore.Record, user string) (*known, error) {
	for i := range records {
		if k := &records[i].Key; k.Owner == user && k.Kind == kindHosting && k.Name == "" {
			return g.memory.read(user, user == g.account, &records[i])
		}
	}
	return &nothing, nil
}

func (m *memory) read(user string, own bool, rec *keystore.Record) (*known, error) {
	switch {
	case rec.Value == nil && rec.Version != 0:
		return nil, fmt.Errorf("%w: hosting record", keystore.ErrCorrupt)
	case rec.Value == nil:
		return &nothing, nil
	}
	last := &m.last
	if own {
		last = &m.own
	}
	if k := last.Load(); k.is(user, rec.Value) {
		return k, nil
	}
	m.mu.RLock()
	k := m.all[user]
	m.mu.RUnlock()
	if k.is(user, rec.Value) {
		last.Store(k)
		return k, nil
	}
	h, err := parseProfile(rec.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: hosting record: %w", keystore.ErrCorrupt, err)
	}
	k = &known{profile: h, user: user, stored: slices.Clone(rec.Value)}
	if n := h.newest(); n != nil {
		k.hash, k.signed = n.Hash(), n.Bytes()
	}
	m.keep(user, k)
	last.Store(k)
	return k, nil
}

// is reports whether k, nil for none, is what is stored of a user.
func (k *known) is(user string, value []byte) bool {
	return k != nil && k.user == user && bytes.Equal(k.stored, value)
}

// keep remembers a record; where there is no room, all others are forgotten.
func (m *memory) keep(user string, k *known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.all[user]; old != nil {
		m.size -= old.size()
	}
	if m.size += k.size(); m.all == nil || m.size > maxMemory {
		m.all, m.size = make(map[string]*known), k.size()
	}
	m.all[user] = k
}

package crash

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A mirror is what a store must hold, from what its process said of each
// Commit. Where a process ended in the middle, or a store does not know itself,
// there is more than one possibility, until the store is looked at.
type mirror struct {
	t       testing.TB
	states  []*state
	changes []told // of the Commit that is under way
	blind   bool   // what is found is believed
	coded   int    // of the Commits that take returned, those with a session
}

// A state is what a store may hold.
type state struct {
	newest  uint64
	records map[keystore.Key]stored
	prekeys map[preKeySpace]bool // all that were ever made
	applied int                  // Commits that put something since take
	coded   int                  // those of them that put a session
}

type stored struct {
	version uint64
	hash    [sha256.Size]byte
}

// A preKeySpace is an id of those that never return: both kinds of KEM prekeys
// share theirs.
type preKeySpace struct{ space, id string }

// newMirror is the mirror of an empty store.
func newMirror(t testing.TB, newest uint64) *mirror {
	first := &state{newest: newest, records: map[keystore.Key]stored{}, prekeys: map[preKeySpace]bool{}}
	return &mirror{t: t, states: []*state{first}}
}

// hears takes in what the process says.
func (m *mirror) hears(n note) {
	m.t.Helper()
	if n.Outcome == "" {
		m.changes = n.Changes
		return
	}
	var next []*state
	for _, s := range m.states {
		after := s.after(m.t, m.changes)
		switch n.Outcome {
		case committed:
			if after != nil && after.gave(s) == n.Version {
				next = append(next, after)
			}
		case conflict:
			if after == nil {
				next = append(next, s)
			}
		case unknown:
			if next = append(next, s); after != nil && after != s {
				next = append(next, after)
			}
		default:
			next = append(next, s)
		}
	}
	require.NotEmpty(m.t, next, "a Commit was %s, version %d, that cannot have been", n.Outcome, n.Version)
	m.states, m.changes = next, nil
}

// ends notes that the process ended. A Commit that was under way may have been
// made.
func (m *mirror) ends() {
	for _, s := range m.states {
		if after := s.after(m.t, m.changes); after != nil && after != s {
			m.states = append(m.states, after)
		}
	}
	m.changes = nil
}

// gave is the version that the Commit gave out that s follows before by.
func (s *state) gave(before *state) uint64 {
	if s == before {
		return 0
	}
	return s.newest
}

// after is s after a Commit; nil when that cannot be made, and s itself when it
// changes nothing.
func (s *state) after(t testing.TB, changes []told) *state {
	t.Helper()
	writes := false
	for i := range changes {
		c := &changes[i]
		if s.records[c.Key.key()].version != c.Expect {
			return nil
		}
		writes = writes || c.Op != keystore.Check
	}
	if !writes {
		return s
	}
	next := &state{newest: s.newest + 1, records: maps.Clone(s.records), prekeys: s.prekeys, applied: s.applied + 1, coded: s.coded}
	coded := 0
	for i := range changes {
		next.apply(t, &changes[i])
		if changes[i].Op == keystore.Put && string(changes[i].Key.Kind) == "session" {
			coded = 1
		}
	}
	next.coded += coded
	return next
}

func (s *state) apply(t testing.TB, c *told) {
	k := c.Key.key()
	switch c.Op {
	case keystore.Put:
		s.records[k] = stored{s.newest, [sha256.Size]byte(c.Hash)}
		if c.Expect == 0 {
			s.makes(t, k)
		}
	case keystore.Delete:
		delete(s.records, k)
	}
}

// makes notes a prekey. Its id never was another's.
func (s *state) makes(t testing.TB, k keystore.Key) {
	t.Helper()
	p := preKeySpace{k.Kind, k.Name}
	switch k.Kind {
	case "lastresort":
		p.space = "kem"
	case "prekey", "signed", "kem":
	default:
		return
	}
	require.False(t, s.prekeys[p], "the id of a prekey returned: %s %s", p.space, p.id)
	s.prekeys = maps.Clone(s.prekeys)
	s.prekeys[p] = true
}

// finds holds the store itself against what it may hold: exactly one of the
// possibilities. Every record that is new parses.
func (m *mirror) finds(newest uint64, records []keystore.Record) {
	m.t.Helper()
	found := &state{newest: newest, records: map[keystore.Key]stored{}}
	for i := range records {
		r := &records[i]
		_, twice := found.records[r.Key]
		require.False(m.t, twice, "a record is listed twice")
		found.records[r.Key] = stored{r.Version, sha256.Sum256(r.Value)}
		if m.states[0].records[r.Key] != found.records[r.Key] {
			require.NoError(m.t, parse(r), "a %s record does not parse", r.Key.Kind)
		}
	}
	if m.blind {
		m.believes(found)
		return
	}
	var why []string
	for _, s := range m.states {
		diff := s.differs(found)
		if diff == "" {
			m.states = []*state{s}
			return
		}
		why = append(why, diff)
	}
	require.Fail(m.t, "the store is none of what it may be", "%q", why)
}

// believes takes what was found for what must be.
func (m *mirror) believes(found *state) {
	s := m.states[0]
	found.prekeys = s.prekeys
	if found.applied, found.coded = s.applied, s.coded; found.newest > s.newest {
		found.applied++
		for k, r := range found.records {
			if k.Kind == "session" && r.version > s.newest {
				found.coded = s.coded + 1
			}
		}
	}
	m.states = []*state{found}
}

// differs says in what, without a secret.
func (s *state) differs(found *state) string {
	if s.newest != found.newest {
		return fmt.Sprintf("version %d, not %d", found.newest, s.newest)
	}
	for k, want := range s.records {
		if got := found.records[k]; got.version != want.version || got.hash != want.hash {
			return fmt.Sprintf("%s record of version %d, not %d; the same value: %t", k.Kind, got.version, want.version, got.hash == want.hash)
		}
	}
	for k := range found.records {
		if _, ok := s.records[k]; !ok {
			return fmt.Sprintf("a %s record too many", k.Kind)
		}
	}
	return ""
}

// take returns how many Commits were made since it was called last.
func (m *mirror) take() int {
	n := m.states[0].applied
	m.coded = m.states[0].coded
	for _, s := range m.states {
		require.Equal(m.t, n, s.applied)
		require.Equal(m.t, m.coded, s.coded)
		s.applied, s.coded = 0, 0
	}
	return n
}

// sure reports whether there is only one possibility.
func (m *mirror) sure() bool { return len(m.states) == 1 }

// names are the names of the records of a kind.
func (m *mirror) names(kind string) map[string]bool {
	out := map[string]bool{}
	for k := range m.states[0].records {
		if k.Kind == kind {
			out[k.Name] = true
		}
	}
	return out
}

// parse reads the record of a Device.
func parse(r *keystore.Record) (err error) {
	if len(r.Value) == 0 || r.Value[0] != 1 {
		return fmt.Errorf("no format byte")
	}
	body := r.Value[1:]
	switch r.Key.Kind {
	case "self":
		_, err = wire.ParseSelf(body)
	case "upkeep":
		_, err = wire.ParseUpkeep(body)
	case "nextid":
		_, err = wire.ParseNextIDs(body)
	case "prekey", "signed", "kem", "lastresort":
		_, err = wire.ParseStoredPreKey(body)
	case "peer":
		_, err = wire.ParsePeer(body)
	case "identity":
		_, err = wire.ParseIdentity(body)
	case "session":
		_, err = wire.ParseSessionIndex(body)
	case "archive":
		_, err = wire.ParseSession(body)
	case "staged":
		_, err = wire.ParseStaged(body)
	case "event":
		_, err = wire.ParseEvent(body)
	case "sent":
		_, err = wire.ParseSent(body)
	case "retry":
		_, err = wire.ParseRetry(body)
	case "basekey", "mark", "body", "restore", "counted":
	default:
		err = fmt.Errorf("unknown")
	}
	return err
}

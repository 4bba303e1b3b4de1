//go:build !wasm

package crash_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A toy is a store in a file: a line for each Commit, all of which are read when
// it is opened. It is right, but for its flaw.
type toy struct {
	flaw    string
	mu      sync.Mutex
	file    *os.File
	records map[keystore.Key]keystore.Record
	newest  uint64
	late    []byte // line that is to be written
}

// The flaws of a toy.
const (
	right     = "right"
	torn      = "torn"      // a Commit is two writes
	forgetful = "forgetful" // it is written when the next one is, or at the end
	twice     = "twice"     // the last but one is applied again to what was not closed
	fallen    = "fallen"    // so is none, but the counter is that of the newest record
)

// A logged is a line. Keys and values are bytes, as JSON has them.
type logged struct {
	Version uint64
	Ops     []keystore.Op
	Keys    [][4][]byte
	Values  [][]byte
	Closed  bool `json:",omitempty"`
}

func openToy(path, flaw string) (keystore.Store, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	s := &toy{flaw: flaw, file: f, records: map[keystore.Key]keystore.Record{}}
	var all []logged
	in := json.NewDecoder(f)
	for {
		var l logged
		whole := in.InputOffset()
		if err := in.Decode(&l); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if err := f.Truncate(whole); err != nil { // a kill may cut a write
				return nil, err
			}
			break
		} else if err != nil {
			return nil, err
		}
		s.apply(&l)
		all = append(all, l)
	}
	s.spoil(all)
	return s, nil
}

// spoil does what a flaw does at the start.
func (s *toy) spoil(all []logged) {
	if len(all) < 2 || all[len(all)-1].Closed {
		return
	}
	switch s.flaw {
	case twice:
		again := all[len(all)-2]
		s.commit(&again)
	case fallen:
		s.newest = 0
		for _, r := range s.records {
			s.newest = max(s.newest, r.Version)
		}
	}
}

func (s *toy) apply(l *logged) {
	for i, op := range l.Ops {
		p := l.Keys[i]
		k := keystore.Key{Scope: string(p[0]), Kind: string(p[1]), Owner: string(p[2]), Name: string(p[3])}
		if op == keystore.Put {
			s.records[k] = keystore.Record{Key: k, Value: l.Values[i], Version: l.Version}
		} else if op == keystore.Delete {
			delete(s.records, k)
		}
	}
	s.newest = max(s.newest, l.Version)
}

// commit writes a line as the flaw has it, and applies it.
func (s *toy) commit(l *logged) {
	half := len(l.Ops) / 2
	switch {
	case s.flaw == forgetful:
		_, _ = s.file.Write(s.late)
		s.late, _ = json.Marshal(l)
	case s.flaw == torn && half > 0:
		s.write(&logged{Version: l.Version, Ops: l.Ops[:half], Keys: l.Keys, Values: l.Values})
		time.Sleep(time.Millisecond)
		s.write(&logged{Version: l.Version, Ops: l.Ops[half:], Keys: l.Keys[half:], Values: l.Values[half:]})
	default:
		s.write(l)
	}
	s.apply(l)
}

func (s *toy) write(l *logged) {
	b, _ := json.Marshal(l)
	_, _ = s.file.Write(b)
}

func (s *toy) Load(_ context.Context, keys ...keystore.Key) (out []keystore.Record, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		r := s.records[k]
		out = append(out, keystore.Record{Key: k, Value: slices.Clone(r.Value), Version: r.Version})
	}
	return out, nil
}

func (s *toy) Commit(_ context.Context, changes ...keystore.Change) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := keystore.Validate(changes); err != nil {
		return 0, err
	}
	l := logged{Version: s.newest + 1}
	for _, c := range changes {
		if s.records[c.Key].Version != c.Expect {
			return 0, &keystore.ConflictError{Keys: []keystore.Key{c.Key}}
		}
		if c.Op != keystore.Check {
			k := c.Key
			l.Ops = append(l.Ops, c.Op)
			l.Keys = append(l.Keys, [4][]byte{[]byte(k.Scope), []byte(k.Kind), []byte(k.Owner), []byte(k.Name)})
			l.Values = append(l.Values, c.Value)
		}
	}
	if len(l.Ops) == 0 {
		return 0, nil
	}
	s.commit(&l)
	return l.Version, nil
}

func (s *toy) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	matches := func(want, is string) bool { return want == "" || want == is }
	return func(yield func(keystore.Record, error) bool) {
		s.mu.Lock()
		var all []keystore.Record
		for k, r := range s.records {
			if matches(scope, k.Scope) && matches(kind, k.Kind) && matches(owner, k.Owner) {
				all = append(all, r)
			}
		}
		s.mu.Unlock()
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *toy) Generation(context.Context) (uint64, error) { return s.newest, nil }

func (s *toy) Close() error {
	_, _ = s.file.Write(s.late)
	s.write(&logged{Closed: true})
	return s.file.Close()
}

package crash

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"

	"github.com/gembok-e2ee/gembok/keystore"
)

// An end says at which call of its store, counted from 0 in a command, a process
// kills itself: before the call, or after it when that was a Commit.
type end struct {
	Call  int
	After bool
}

// A note is what a teller says.
type note struct {
	Changes []told // of a Commit that is about to be made
	Version uint64 // of the Commit that was
	Outcome string // committed, refused (nothing was changed), unknown
}

// The outcomes of a Commit.
const (
	committed = "committed"
	refused   = "refused"
	conflict  = "conflict"
	unknown   = "unknown"
)

// A told is a Change, its value as a hash.
type told struct {
	Op     keystore.Op
	Key    key
	Expect uint64
	Hash   []byte // SHA-256
}

// A key is a keystore.Key as bytes, since JSON has none but UTF-8 strings.
type key struct{ Scope, Kind, Owner, Name []byte }

func asKey(k keystore.Key) key {
	return key{[]byte(k.Scope), []byte(k.Kind), []byte(k.Owner), []byte(k.Name)}
}

func (k *key) key() keystore.Key {
	return keystore.Key{Scope: string(k.Scope), Kind: string(k.Kind), Owner: string(k.Owner), Name: string(k.Name)}
}

// A teller is a store as a process has it. It tells of each Commit before it is
// made and after that, and ends the process where it was told to.
type teller struct {
	keystore.Store
	tell  func(note)
	kill  func() // does not return
	calls int    // since the last command
	end   *end
}

// expects begins a command.
func (s *teller) expects(e *end) { s.calls, s.end = 0, e }

// call counts a call.
func (s *teller) call() {
	if s.ends(false) {
		s.kill()
	}
	s.calls++
}

func (s *teller) ends(after bool) bool {
	return s.end != nil && s.end.After == after && s.end.Call == s.calls
}

func (s *teller) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	s.call()
	return s.Store.Load(ctx, keys...)
}

func (s *teller) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	s.call()
	return s.Store.List(ctx, scope, kind, owner)
}

func (s *teller) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	last := s.ends(true)
	s.call()
	n := note{}
	for _, c := range changes {
		sum := sha256.Sum256(c.Value)
		n.Changes = append(n.Changes, told{c.Op, asKey(c.Key), c.Expect, sum[:]})
	}
	s.tell(n)
	v, err := s.Store.Commit(ctx, changes...)
	s.tell(note{Version: v, Outcome: outcome(err)})
	if last {
		s.kill()
	}
	return v, err
}

func outcome(err error) string {
	switch {
	case err == nil:
		return committed
	case errors.Is(err, keystore.ErrCommitUnknown):
		return unknown
	case is[*keystore.ConflictError](err):
		return conflict
	}
	return refused
}

package group

import (
	"context"
	"slices"
	"sync"

	"github.com/gembok-e2ee/gembok/keystore"
)

// locks are one lock a name, kept only while somebody holds it. The zero value has
// none. Locks are taken before those of the Device; in a transaction of the app's
// none is, as in package session.
type locks[K comparable] struct {
	mu   sync.Mutex
	held map[K][]chan struct{} // the locks that are held, each with who waits, in turn
}

// lock waits for the lock of a name, or for the end of ctx. It is for unlock, with
// the same ctx.
func (l *locks[K]) lock(ctx context.Context, name K) error {
	if keystore.PendingIn(ctx) != nil {
		return nil
	}
	turn := l.enter(name)
	if turn == nil {
		return nil
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		l.leave(name, turn)
		return ctx.Err()
	}
}

// enter takes the lock, or gets in line: what it returns is closed when the turn
// has come.
func (l *locks[K]) enter(name K) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(map[K][]chan struct{})
	}
	line, held := l.held[name]
	if !held {
		l.held[name] = nil
		return nil
	}
	turn := make(chan struct{})
	l.held[name] = append(line, turn)
	return turn
}

// leave gives up a place in line, or the lock, if the turn came meanwhile.
func (l *locks[K]) leave(name K, turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.held[name], turn); i >= 0 {
		l.held[name] = slices.Delete(l.held[name], i, i+1)
	} else {
		l.pass(name)
	}
}

func (l *locks[K]) unlock(ctx context.Context, name K) {
	if keystore.PendingIn(ctx) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass(name)
}

// pass hands the lock to the first in line. mu is held.
func (l *locks[K]) pass(name K) {
	line := l.held[name]
	if len(line) == 0 {
		delete(l.held, name)
		return
	}
	close(line[0])
	l.held[name] = line[1:]
}

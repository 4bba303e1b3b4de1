package session

import (
	"context"
	"slices"
	"sync"
)

// locks are one lock a name, kept only while somebody holds it.
type locks struct {
	mu   sync.Mutex
	held map[string][]chan struct{} // the locks that are held, each with who waits, in turn
}

// lock waits for the lock of name, or for the end of ctx.
func (l *locks) lock(ctx context.Context, name string) error {
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

// enter takes the lock of name, or gets in line: what it returns is closed when
// the turn has come.
func (l *locks) enter(name string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(map[string][]chan struct{})
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
func (l *locks) leave(name string, turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.held[name], turn); i >= 0 {
		l.held[name] = slices.Delete(l.held[name], i, i+1)
	} else {
		l.pass(name)
	}
}

func (l *locks) unlock(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass(name)
}

// pass hands the lock of name to the first in line. mu is held.
func (l *locks) pass(name string) {
	line := l.held[name]
	if len(line) == 0 {
		delete(l.held, name)
		return
	}
	close(line[0])
	l.held[name] = line[1:]
}

package keystore

import (
	"context"
	"sync"
)

// A Pending withholds what operations made that commit in a transaction of the
// app's own: its fate is not theirs to know. A store that joins such a
// transaction returns one beside the context for it.
//
// What an operation made by such a context is empty until Committed. It must
// not be used at all if the transaction was rolled back: the keys it was made
// with are still there then, and will be used for something else.
//
// The zero Pending withholds nothing yet. It may be used from several
// goroutines, and must not be copied.
type Pending struct {
	mu   sync.Mutex
	held []func()
}

// pendingKey is that of the Pending in a context.
type pendingKey struct{}

// In returns a context in which operations leave to p what they made.
func (p *Pending) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, pendingKey{}, p)
}

// PendingIn returns the Pending of a context; nil where operations commit for
// themselves.
func PendingIn(ctx context.Context) *Pending {
	p, _ := ctx.Value(pendingKey{}).(*Pending)
	return p
}

// Hold has release called by Committed, after those held before.
func (p *Pending) Hold(release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, release)
}

// Committed reports that the transaction was committed: what the operations in
// it made is there from now on. It is called only when that is certain, and not
// by an operation of the same transaction.
func (p *Pending) Committed() {
	p.mu.Lock()
	held := p.held
	p.held = nil
	p.mu.Unlock()
	for _, release := range held {
		release()
	}
}

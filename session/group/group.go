// Package group is messages to many with one encryption: sender keys, and groups
// on top of them.
package group

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// ErrNoSenderKey reports a message whose sender key did not come, or is gone;
// and, when sending, that there is none yet. It is session.ErrNoSession, too.
var ErrNoSenderKey = fmt.Errorf("group: no sender key: %w", session.ErrNoSession)

// Options are the policies of Groups. The zero value, like nil, is the defaults.
type Options struct {
	// MaxAge is how long a sender key is used; 0 is 7 days.
	MaxAge time.Duration
	// MaxMessages is for how many messages; 0 is 10,000.
	MaxMessages uint32
}

// Groups are the sender keys of a Device: its own, and those it was given. New
// makes one, and there is one to a Device. It is safe for concurrent use, and
// prints as redacted.
type Groups struct {
	wire.Secret

	d     *session.Device
	opts  Options
	locks locks

	signing signing
}

// New returns the Groups of a Device.
func New(d *session.Device, o *Options) *Groups {
	g := &Groups{d: d}
	if o != nil {
		g.opts = *o
	}
	if g.opts.MaxAge == 0 {
		g.opts.MaxAge = 7 * 24 * time.Hour
	}
	if g.opts.MaxMessages == 0 {
		g.opts.MaxMessages = 10000
	}
	return g
}

// hold waits for the lock of a name, a distribution id or that of a group, or for
// the end of ctx. In a transaction of the app's it takes none, as package session
// does not. Locks are taken before those of the Device.
func (g *Groups) hold(ctx context.Context, name string) (release func(), err error) {
	if keystore.PendingIn(ctx) != nil {
		return func() {}, nil
	}
	return g.locks.lock(ctx, name)
}

// locks are one lock a name, kept only while somebody holds it or waits.
type locks struct {
	mu    sync.Mutex
	names map[string]*lock
}

// A lock is held by whoever has put something in.
type lock struct {
	held  chan struct{}
	users int
}

// lock waits for the lock of a name.
func (l *locks) lock(ctx context.Context, name string) (release func(), err error) {
	n := l.enter(name)
	select {
	case n.held <- struct{}{}:
		return func() {
			<-n.held
			l.leave(name, n)
		}, nil
	case <-ctx.Done():
		l.leave(name, n)
		return nil, ctx.Err()
	}
}

func (l *locks) enter(name string) *lock {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.names[name]
	if n == nil {
		if l.names == nil {
			l.names = make(map[string]*lock)
		}
		n = &lock{held: make(chan struct{}, 1)}
		l.names[name] = n
	}
	n.users++
	return n
}

func (l *locks) leave(name string, n *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.users--; n.users == 0 {
		delete(l.names, name)
	}
}

package session_test

import (
	"context"
	"errors"
	"iter"

	"github.com/gembok-e2ee/gembok/keystore"
)

// errStopped is what a process hears of its store once it has stopped: nothing
// that it does from there on comes to anything.
var errStopped = errors.New("process stopped")

// A process is a store as one process of a device sees it. It stops at one of
// its calls, and so at a moment that a test chooses: before the call, or after
// a Commit that is durable by then. In the second case the Device is told of
// the Commit, and what it makes of it is what the process would have said; the
// test knows it, and nobody else.
type process struct {
	keystore.Store
	left      int  // calls until it stops; negative: it does not
	after     bool // stop after the call, if that is a Commit
	stopped   bool
	committed bool   // it stopped after a Commit
	kill      func() // if set, it stops for good, and this does not return
}

// call counts a call, and reports whether it is not made.
func (p *process) call(commit bool) bool {
	if p.left == 0 && !(commit && p.after) {
		p.stop(false)
	}
	p.left--
	return p.stopped
}

func (p *process) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	if p.call(false) {
		return nil, errStopped
	}
	return p.Store.Load(ctx, keys...)
}

func (p *process) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	last := p.left == 0
	if p.call(true) {
		return 0, errStopped
	}
	v, err := p.Store.Commit(ctx, changes...)
	if last {
		p.stop(err == nil)
	}
	return v, err
}

func (p *process) stop(committed bool) {
	if p.kill != nil {
		p.kill()
	}
	p.stopped, p.committed = true, committed
}

func (p *process) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	if p.call(false) {
		return func(yield func(keystore.Record, error) bool) { yield(keystore.Record{}, errStopped) }
	}
	return p.Store.List(ctx, scope, kind, owner)
}

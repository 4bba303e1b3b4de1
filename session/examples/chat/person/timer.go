package person

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// Messages that disappear. Each says how long it lasts after it was read, and all
// messages of a conversation together which of the times that were said holds. What
// the Device keeps of them it removes by itself; this removes them from the history.
// Whoever means to keep what they read can.

// kindTimer are records of how long the messages of a conversation last.
const kindTimer = "timer"

// timer returns that of a conversation, and the version of its record.
func (n notebook) timer(ctx context.Context, name string) (t session.Timer, version uint64, err error) {
	rec, err := n.store.Load(ctx, n.key(kindTimer, name))
	if err != nil || len(rec) == 0 || rec[0].Version == 0 {
		return t, 0, err
	}
	return t, rec[0].Version, json.Unmarshal(rec[0].Value, &t)
}

// setTimer is the change that stores t.
func (n notebook) setTimer(name string, t session.Timer, version uint64) (keystore.Change, error) {
	value, err := json.Marshal(t)
	return keystore.Change{Op: keystore.Put, Key: n.key(kindTimer, name), Expect: version, Value: value}, err
}

// Last has the messages of a conversation last for a time after they were read, 0
// for good. The others hear of it with the next message.
func (p *Person) Last(ctx context.Context, name string, d time.Duration) error {
	t, version, err := p.notes.timer(ctx, name)
	if err != nil {
		return err
	}
	t = session.Timer{Duration: d, Version: t.Version + 1, Sender: p.me.User}
	change, err := p.notes.setTimer(name, t, version)
	if err != nil {
		return err
	}
	a := announced(name, TimerEvent, lasting(name, d))
	if err := p.notes.announce(ctx, a, change); err != nil {
		return err
	}
	p.screen.Show(Event{Kind: NoticeEvent, Peer: name, Text: a.Said.in(p.language()).Text})
	return nil
}

// hearTimer takes in what a message says of that, if anything.
func (p *Person) hearTimer(ctx context.Context, name string, said session.Timer, at time.Time) error {
	if said.Duration == 0 && said.Version == 0 {
		return nil
	}
	t, version, err := p.notes.timer(ctx, name)
	if err != nil || t.Merge(said) == t {
		return err
	}
	change, err := p.notes.setTimer(name, said, version)
	switch {
	case err != nil:
		return err
	case t.Duration == said.Duration:
		_, err := p.notes.store.Commit(ctx, change)
		return err
	}
	return p.tell(ctx, announced(name, TimerEvent, lasting(name, said.Duration)).at(at), change)
}

// lasting says how long messages last.
func lasting(name string, d time.Duration) wording {
	if d > 0 {
		return saying(lastsText, nil, name, int(d/time.Second))
	}
	return saying(keptText, nil, name)
}

// ends is when a message that was received is to go, the zero time for never: it is
// read as it is shown. Of what the own other device sent, time began then.
func (x *note) ends(r *session.Received) time.Time {
	if x.Mine {
		return r.Timer().Deadline(r.Content.SentAt)
	}
	return r.Timer().Deadline(time.Now())
}

// sweepAll removes messages whose time is over, until ctx ends.
func (p *Person) sweepAll(ctx context.Context) {
	for ctx.Err() == nil {
		next, err := p.sweep(ctx)
		if err != nil && ctx.Err() == nil {
			p.screen.Show(Event{Kind: TroubleEvent, Text: err.Error(), Err: err})
			next = time.Now().Add(time.Minute)
		}
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-due:
		case <-p.aging:
		case <-ctx.Done():
		}
	}
}

// sweep removes what is over, and returns when the next is, the zero time for never.
func (p *Person) sweep(ctx context.Context) (next time.Time, err error) {
	all, err := p.notes.all(ctx, kindHistory)
	if err != nil {
		return next, err
	}
	for _, x := range all {
		switch {
		case x.Gone.IsZero():
		case time.Now().Before(x.Gone):
			if next.IsZero() || x.Gone.Before(next) {
				next = x.Gone
			}
		default:
			if err := p.notes.drop(ctx, kindHistory, x); err != nil {
				return next, err
			}
			p.say(GoneEvent, x.Peer, goneText, nil)
		}
	}
	return next, nil
}

// ages has sweepAll look at what is in the history now.
func (p *Person) ages() {
	select {
	case p.aging <- struct{}{}:
	default:
	}
}

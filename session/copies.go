package session

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// retryFor is how long copies are kept; 0 is not at all.
func (o *Options) retryFor() time.Duration { return max(0, cmp.Or(o.RetryFor, 14*24*time.Hour)) }

// retryCopies is how many copies are kept.
func (o *Options) retryCopies() int { return cmp.Or(max(0, o.RetryCopies), 1000) }

// outdated reports whether the copy of a message sent at a time is past its own,
// or the clock was so wrong then that it would not be for long. A copy goes with
// the message that it is of, when that disappears, or when the clock was set back by
// more than its time.
func (o *Options) outdated(at, expires, now uint64) bool {
	return past(expires, now) || expires > at && at > now && at-now > expires-at || now >= after(at, o.retryFor()) || at > after(now, o.retryFor())
}

// A copyNote is what of a record "sent" says when it is to go.
type copyNote struct {
	key     keystore.Key
	version uint64
	at      uint64
}

// surplus lists the copies that are to go: those past their time, and the oldest
// of more than are kept; and says when the first of the others expires, 0 for never.
func (t *Tx) surplus() (out []*copyNote, goes uint64, err error) {
	d, now := t.d, t.d.now()
	var rest []*copyNote
	for rec, err := range d.list(t.ctx, kindSent, ownOwner) {
		if err != nil {
			return nil, 0, err
		}
		body, err := unformat(kindSent, rec.Value)
		at, nameErr := strconv.ParseUint(rec.Key.Name, 10, 64)
		if err != nil || nameErr != nil || rec.Key != d.sentKey(at) {
			continue
		}
		sent, _ := wire.ParseSent(body) // one that is damaged goes by its name
		n := &copyNote{key: rec.Key, version: rec.Version, at: at}
		if d.opts.outdated(at, sent.Expires, now) {
			out = append(out, n)
		} else {
			rest = append(rest, n)
			if sent.Expires != 0 && (goes == 0 || sent.Expires < goes) {
				goes = sent.Expires
			}
		}
	}
	if most := d.opts.retryCopies(); len(rest) > most {
		slices.SortFunc(rest, func(a, b *copyNote) int { return cmp.Compare(b.at, a.at) })
		out = append(out, rest[most:]...)
	}
	return out, goes, nil
}

// A trimmer says when copies are looked through: after so many Sends. It starts
// anywhere, by the clock, so that processes that end before do it, too, and there
// is no record that every Send would change.
type trimmer struct {
	mu    sync.Mutex
	left  uint64
	begun bool
}

// due counts a Send of a time in milliseconds; it is true for one in every.
func (tr *trimmer) due(every, now uint64) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !tr.begun {
		tr.left, tr.begun = now%every, true
	}
	if tr.left > 0 {
		tr.left--
		return false
	}
	tr.left = every - 1
	return true
}

// trimPart is which part of the copies may be there beyond their bound.
const trimPart = 10

// trim removes copies now and then, after a Send. The message is on its way by
// then: what fails here is done the next time, or by Upkeep.
func (d *Device) trim(ctx context.Context) {
	if joined(ctx) || !d.trimmer.due(uint64(d.opts.retryCopies()/trimPart+1), d.now()) {
		return
	}
	for more := true; more; {
		err := d.run(ctx, "", func(t *Tx) error {
			if err := t.load(); err != nil {
				return err
			}
			old, _, err := t.surplus()
			if err != nil {
				return err
			}
			more = len(old) > sweepBatch
			for _, n := range old[:min(len(old), sweepBatch)] {
				t.add(entry{rec: keystore.Record{Key: n.key, Version: n.version}, op: keystore.Delete})
			}
			return nil
		})
		more = more && err == nil
	}
}

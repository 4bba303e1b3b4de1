package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A Timer says after what time the messages of a conversation disappear, and which
// change of that it is (gembok, Section 3): Duration and Version are Timer and
// TimerVersion of a Content, Sender is the user whose message said so. The zero
// value is none yet: messages stay. It is a value, for any goroutine.
//
// An app keeps one for each conversation, takes in what each message says, its own
// ones included, by Merge, and sends with what it keeps. Who changes it adds 1 to
// Version.
type Timer struct {
	Duration time.Duration // in whole seconds; 0 is never
	Version  uint32
	Sender   string
}

// Merge returns the one of t and u that holds: that of the higher Version, or else
// the longer one, or else that of the greater Sender, byte for byte. So it does not
// matter in which order messages come, or how often: all who have seen the same
// ones have the same Timer.
func (t Timer) Merge(u Timer) Timer {
	if cmp.Or(cmp.Compare(t.Version, u.Version), cmp.Compare(t.Duration, u.Duration), cmp.Compare(t.Sender, u.Sender)) < 0 {
		return u
	}
	return t
}

// Deadline returns when a message with this Timer disappears that begins at a
// time; zero is never. It begins when it was sent (Content.SentAt) on the devices of
// its sender, and when it was read for the first time on those of others. The Timer
// is that of the message, not of the conversation.
func (t Timer) Deadline(begins time.Time) time.Time {
	if t.Duration <= 0 {
		return time.Time{}
	}
	return begins.Add(t.Duration)
}

// Timer returns what r says of the timer of its conversation; zero without
// Options.Content. Which one that is says From, or SyncTo of the Content.
func (r *Received) Timer() Timer {
	if r.Content == nil {
		return Timer{}
	}
	return Timer{Duration: r.Content.Timer, Version: r.Content.TimerVersion, Sender: r.From.User}
}

const (
	// unreadTime is how long a message with a timer is staged that nobody reads.
	unreadTime = 14 * 24 * time.Hour
	// readRoom is what MarkRead adds to a staged record at most, in bytes.
	readRoom = 16
)

// MarkRead says that the user has seen these messages, in one commit, so that the
// deadline of those that disappear begins, which their Expires is then: what is
// staged of them is no longer given out after it, as after DecryptOptions.Expires,
// and Upkeep removes it. Only the first time counts. It changes nothing in those
// without a Timer, in those that were acknowledged, of which the app alone has the
// text and keeps the time (Timer.Deadline), and in those that another device of the
// own account sent, whose time began then.
//
// A message with a timer that nobody reads or acknowledges is staged for 14 days and
// that time. Where the clock was set back, Upkeep begins the time anew. Events of a
// message that goes are among those of Events then.
//
// Errors: ErrMalformed for nil, ErrCorrupt for a damaged staged record, those of
// the store, after which all is as before; after keystore.ErrCommitUnknown it is to
// be tried again.
func (d *Device) MarkRead(ctx context.Context, messages ...*Received) error {
	if slices.Contains(messages, nil) {
		return fmt.Errorf("%w: no message", ErrMalformed)
	}
	keys := make([]keystore.Key, len(messages))
	for i, r := range messages {
		keys[i] = d.stagedKey(r.From.User, r.ID)
	}
	expires := make([]uint64, len(messages))
	err := d.run(ctx, "", func(t *Tx) (err error) {
		t.always = true
		if err = t.load(keys...); err != nil {
			return err
		}
		for i, k := range keys {
			if expires[i], err = t.read(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, r := range messages {
		if expires[i] != 0 {
			r.Expires = moment(expires[i])
		}
	}
	return nil
}

// read begins the deadline of the staged message in the loaded record k, if it has
// one that has not begun, and returns when that is; 0 is that there is none.
func (t *Tx) read(k keystore.Key) (expires uint64, err error) {
	rec, err := t.staged(k)
	if err != nil || rec == nil || rec.Timer == 0 {
		return 0, err
	}
	if now := t.d.now(); rec.Began == 0 && !past(rec.Expires, now) {
		rec.Began = now
		shorten(rec, now)
		t.put(k, wire.AppendStaged(nil, rec))
		t.goes(rec.Expires)
	}
	return rec.Expires, nil
}

// wind gives the record of a message that arrives its timer, and when it is to go
// for that. What the own account sent, and had disappeared before it came, comes
// without its Body: nothing is left to go then.
func (d *Device) wind(r *Received, rec *wire.Staged) error {
	timer := r.Timer().Duration
	if timer == 0 {
		return nil
	}
	begins := rec.ReceivedAt
	if d.isOwn(r) {
		if at := r.Content.SentAt; !at.IsZero() {
			begins = min(begins, uint64(max(1, at.UnixMilli())))
		}
		if past(after(begins, timer), rec.ReceivedAt) {
			return d.blank(r)
		}
		rec.Began = begins
	}
	rec.Timer = uint32(timer / time.Second)
	shorten(rec, begins)
	return nil
}

// shorten has a staged message that disappears go no later than it would if it had
// begun to wait, or was read, at a time, and reports whether that is earlier.
func shorten(rec *wire.Staged, from uint64) bool {
	lasts := time.Duration(rec.Timer) * time.Second
	if rec.Began == 0 {
		lasts += unreadTime
	}
	at := after(from, lasts)
	if rec.Expires != 0 && rec.Expires <= at {
		return false
	}
	rec.Expires = at
	return true
}

// spare is by how much, in bytes, MarkRead may lengthen a staged record.
func spare(rec *wire.Staged) int {
	if rec.Timer == 0 || rec.Began != 0 {
		return 0
	}
	return readRoom
}

// blank takes the Body out of a message. All else, such as the timer itself, stays.
func (d *Device) blank(r *Received) error {
	c, err := wire.ParseContent(r.Plaintext)
	if err != nil {
		return err
	}
	c.Body = nil
	if c.Sync != nil {
		inner, err := wire.ParseContent(c.Sync.Content)
		if err != nil {
			return err
		}
		inner.Body = nil
		c.Sync.Content = wire.AppendContent(nil, inner)
	}
	r.Plaintext = wire.AppendContent(nil, c)
	return d.understand(r)
}

// goes notes when something is to go that this operation stores; 0 is never.
func (t *Tx) goes(at uint64) {
	if at != 0 && (t.deadline == 0 || at < t.deadline) {
		t.deadline = at
	}
}

// A deadline is when the first of what is stored is to go, as far as a Device
// knows, so that Due can say it. What another process stored is found by the daily
// sweep. The zero value is that nobody looked yet.
type deadline struct {
	mu     sync.Mutex
	looked bool
	at     uint64 // 0: never
}

// add notes a time of what is stored by now, or will not be; 0 is never.
func (l *deadline) add(at uint64) {
	if at == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == 0 || at < l.at {
		l.at = at
	}
}

// look forgets all times, for one who looks for them in the store and adds them,
// beside those of what is stored meanwhile.
func (l *deadline) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked, l.at = false, 0
}

// found says that all there is was looked at, and what is over is gone.
func (l *deadline) found() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked = true
}

// next returns the first time, 0 for never, and whether it is known.
func (l *deadline) next() (at uint64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at, l.looked
}

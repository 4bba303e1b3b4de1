package session

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A PreKeyPolicy says how many prekeys a device has and for how long (design,
// Section 7). The zero value is the defaults, as is every field that is 0 or
// less.
type PreKeyPolicy struct {
	// OneTime is how many one-time prekeys of each kind there are after a
	// top-up: 100, and at most 1,024. Low is the number below which there is
	// one: 20, and at most OneTime.
	OneTime, Low int
	// Rotate is how long the signed prekey and the last-resort KEM prekey are
	// in use before another takes their place: 7 days. Keep is how long they
	// are kept after that, for first messages that are late: 30 days.
	Rotate, Keep time.Duration
	// BaseKeys is how many sessions may begin with one pair of signed and
	// last-resort prekey before both are replaced: 100,000. Each is remembered,
	// against replay, as long as the pair.
	BaseKeys int
}

func (p PreKeyPolicy) orDefaults() PreKeyPolicy {
	const day = 24 * time.Hour
	p.OneTime = min(cmp.Or(max(p.OneTime, 0), 100), wire.MaxPublishedPreKeys)
	p.Low = min(cmp.Or(max(p.Low, 0), 20), p.OneTime)
	p.Rotate = cmp.Or(max(p.Rotate, 0), 7*day)
	p.Keep = cmp.Or(max(p.Keep, 0), 30*day)
	p.BaseKeys = cmp.Or(max(p.BaseKeys, 0), 100000)
	return p
}

// A Due says what Upkeep would do. The zero value says that it is nothing.
type Due struct {
	TopUp  bool // there are fewer one-time prekeys than PreKeyPolicy.Low
	Rotate bool // a lasting prekey is old or absent, or began too many sessions
	Delete bool // prekeys are past their time
	// Sweep: old records were not looked for today, a day of UTC, or by this Device;
	// or a message or a copy of one is to go now.
	Sweep   bool
	Publish bool // there will be prekeys that no directory has
	// PreKeys and KEMPreKeys count the one-time prekeys that are not used up,
	// those that are yet to be published among them. What a directory handed
	// out, and nobody used, counts.
	PreKeys, KEMPreKeys int
	// Damaged counts records of prekeys that do not decode. They are left as
	// they are, and others are made in their place; a message that names one is
	// ErrCorrupt.
	Damaged int
	// At is when the next thing will be due, after what is due now is done, and
	// if no prekey is used up until then.
	At time.Time
}

// Due says what upkeep is due, and when to ask again. It reads all records of
// prekeys, 0.5 MB, and changes nothing. Errors are those of Upkeep.
func (d *Device) Due(ctx context.Context) (Due, error) {
	var out Due
	err := d.run(ctx, "", func(t *Tx) error {
		u, err := t.upkeep()
		if err == nil {
			out = u.due()
		}
		return err
	})
	return out, err
}

// Upkeep does what is due, in one commit: tops up one-time prekeys, rotates the
// signed and the last-resort one, deletes those that were replaced long enough
// ago with what is remembered of them, and once a day removes records past
// their time: marks of acknowledged messages, events, staged messages that expired,
// and copies. Messages and copies that disappear it removes whenever that is due. More than 500 of those take more commits, each of which is whole.
//
// It returns what is to be uploaded, nil when the directory has all of it; it
// comes again until MarkPublished is told of it. PreKeysLow is stored when a
// top-up was due. Call it at the start, at Due.At, and after messages that
// began sessions; when nothing is due, it costs as much as Due.
//
// Errors are keystore.ErrNewerFormat, ErrCorrupt for the record of the ids, and
// those of the store.
func (d *Device) Upkeep(ctx context.Context) (*x3dh.Publication, error) {
	var out *x3dh.Publication
	again, more, looked := false, true, false
	for ; more; again = true {
		err := d.run(ctx, ownOwner, func(t *Tx) error {
			u, err := t.upkeep()
			if err != nil {
				return err
			}
			p, err := u.do(again)
			out, more, looked = withhold(t, p), u.more, u.looked
			return err
		})
		if err != nil {
			return nil, err
		}
		if looked && !joined(ctx) {
			d.deadline.found()
		}
	}
	return out, nil
}

// An upkeep is one commit of Upkeep.
type upkeep struct {
	census
	a *allocator

	removed int    // records
	more    bool   // records were left for the next commit
	goes    uint64 // when the first of the messages and copies that stay is to go; 0: never
}

// upkeep reads what there is. The record "upkeep" holds nothing that could not
// be found again: when it is damaged, it counts as none.
func (t *Tx) upkeep() (*upkeep, error) {
	d, key := t.d, t.d.key(kindUpkeep, ownOwner, "")
	if err := t.load(d.key(kindNextID, ownOwner, ""), key); err != nil {
		return nil, err
	}
	u := &upkeep{census: census{policy: d.opts.PreKeys.orDefaults(), now: d.now()}}
	u.first, u.looked = d.deadline.next()
	body, ok, err := t.get(key)
	if errors.Is(err, keystore.ErrNewerFormat) {
		return nil, err
	}
	if ok {
		u.last, _ = wire.ParseUpkeep(body)
	}
	if u.a, err = t.allocator(); err != nil {
		return nil, err
	}
	u.stock = u.a.stock
	return u, nil
}

// do does what is due. Prekeys go before what is remembered of them, or with
// it, since without that a first message could be read again.
func (u *upkeep) do(again bool) (*x3dh.Publication, error) {
	due, last := u.due(), u.last
	u.delete(lasting, u.outlived)
	if due.Sweep || due.Delete || again {
		if err := u.sweep(due.Delete || again); err != nil {
			return nil, err
		}
	}
	if u.last != last {
		u.a.t.put(u.a.t.d.key(kindUpkeep, ownOwner, ""), wire.AppendUpkeep(nil, &u.last))
	}
	u.retire()
	if err := u.topUp(); err != nil {
		return nil, err
	}
	out, err := u.a.publication()
	if err != nil {
		return nil, err
	}
	u.delete(oneTime, u.useless)
	u.a.close()
	if !u.unknown() {
		out = nil
	}
	return out, nil
}

// delete deletes the prekeys of some kinds that are to go.
func (u *upkeep) delete(kinds []string, goes func(*held) bool) {
	for _, kind := range kinds {
		for id, h := range u.stock[kind] {
			if goes(h) && u.remove(h.key, h.version) {
				delete(u.stock[kind], id)
			}
		}
	}
}

// retire retires the lasting prekeys that are to be replaced, so that the
// publication has new ones.
func (u *upkeep) retire() {
	var old []*held
	for _, kind := range lasting {
		for _, h := range u.stock[kind] {
			if h.active() && u.rotates(kind) {
				old = append(old, h)
			}
		}
	}
	for _, h := range old {
		u.a.retire(h)
	}
}

// topUp makes one-time prekeys when there are too few. It is an event, except
// where there never were any.
func (u *upkeep) topUp() error {
	if !u.low() {
		return nil
	}
	u.a.fill(u.policy.OneTime)
	t := u.a.t
	if !t.has(t.d.key(kindNextID, ownOwner, "")) {
		return nil
	}
	return t.Emit(Event{Kind: PreKeysLow})
}

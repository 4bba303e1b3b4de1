package session

import (
	"errors"
	"strconv"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	// sweepBatch is how many records are removed in one commit.
	sweepBatch = 500
	// maxSweptDays is how many days upkeep may have been away for marks to be
	// looked for day by day.
	maxSweptDays = 60
)

// room takes room for a record in this commit, if there is some.
func (u *upkeep) room() bool {
	if u.more = u.more || u.removed >= sweepBatch; u.more {
		return false
	}
	u.removed++
	return true
}

// remove deletes a record that was listed, if there is room.
func (u *upkeep) remove(k keystore.Key, version uint64) bool {
	if !u.room() {
		return false
	}
	t := u.a.t
	t.add(entry{rec: keystore.Record{Key: k, Version: version}, op: keystore.Delete})
	return true
}

// sweep removes messages and copies that are to go, and once a day all that is past
// its time. Then, or when baseKeys says so, it removes base keys of pairs that are
// gone, and counts those of the pair in use. What was done is written down when all
// of it is.
func (u *upkeep) sweep(baseKeys bool) error {
	daily := u.daily()
	if daily || u.vanishes() {
		if err := u.sweepDeadlines(); err != nil {
			return err
		}
	}
	if daily {
		for _, f := range []func() error{u.sweepMarks, u.sweepEvents, u.sweepRetries} {
			if err := f(); err != nil {
				return err
			}
		}
	}
	if !daily && !baseKeys {
		return nil
	}
	n, err := u.sweepBaseKeys()
	if err != nil || u.more {
		return err
	}
	if daily {
		u.last.Swept = u.now
	}
	u.last.SignedPreKey, u.last.LastResort, u.last.BaseKeys = 0, 0, n
	if n > 0 {
		u.last.SignedPreKey, u.last.LastResort = u.current(kindSigned).id, u.current(kindLastResort).id
	}
	return nil
}

// each calls f with the records of a kind and owner, which may be any, until
// there is no more room. Those of a newer format, or of none, stay.
func (u *upkeep) each(kind, owner string, f func(*keystore.Record)) error {
	t := u.a.t
	for rec, err := range t.d.list(t.ctx, kind, owner) {
		if err != nil {
			return err
		}
		if _, err := unformat(kind, rec.Value); err != nil {
			continue
		}
		if f(&rec); u.more {
			return nil
		}
	}
	return nil
}

// sweepBaseKeys removes the base keys of pairs of which a prekey is gone, and
// returns how many the current pair has. The check keeps away who has made a
// prekey meanwhile.
func (u *upkeep) sweepBaseKeys() (n uint64, err error) {
	d, current := u.a.t.d, ""
	if signed, kem := u.current(kindSigned), u.current(kindLastResort); signed != nil && kem != nil {
		current = d.baseKeyKey(signed.id, kem.id, nil).Owner
	}
	removed := u.removed
	err = u.each(kindBaseKey, "", func(rec *keystore.Record) {
		switch {
		case rec.Key.Owner == current:
			n++
		case u.orphaned(rec.Key.Owner):
			u.remove(rec.Key, rec.Version)
		}
	})
	if u.removed > removed {
		u.a.t.check(d.key(kindNextID, ownOwner, ""))
	}
	return n, err
}

// orphaned reports whether one of a pair of prekeys is gone. Ids do not return.
func (u *upkeep) orphaned(pair string) bool {
	left, right, _ := strings.Cut(pair, ",")
	signed, ok := parseDecimal(left)
	kem, ok2 := parseDecimal(right)
	return ok && ok2 && (u.stock[kindSigned][signed] == nil || u.stock[kindLastResort][kem] == nil)
}

// sweepMarks removes the marks of days before the last that are asked for, day
// by day since the last sweep; or all that there are, when that was long ago or
// the clock was wrong.
func (u *upkeep) sweepMarks() error {
	today, swept := u.now/dayMilli, u.last.Swept/dayMilli
	remove := func(rec *keystore.Record) { u.remove(rec.Key, rec.Version) }
	if u.last.Swept == 0 || swept > today || today-swept > maxSweptDays {
		return u.each(kindMark, "", func(rec *keystore.Record) {
			if day, err := strconv.ParseUint(rec.Key.Owner, 10, 64); err == nil && day+markDays < today {
				remove(rec)
			}
		})
	}
	for day := max(swept, markDays) - markDays; day+markDays < today && !u.more; day++ {
		if err := u.each(kindMark, strconv.FormatUint(day, 10), remove); err != nil {
			return err
		}
	}
	return nil
}

// sweepEvents removes events past their time.
func (u *upkeep) sweepEvents() error {
	return u.each(kindEvent, "", func(rec *keystore.Record) {
		if e, err := readEvent(rec); err == nil && eventExpired(e.At, u.now) {
			u.remove(rec.Key, rec.Version)
		}
	})
}

// sweepDeadlines removes messages and copies past their expiry, and notes when the
// next ones are to go.
func (u *upkeep) sweepDeadlines() error {
	l := &u.a.t.d.deadline
	l.look()
	if err := u.sweepStaged(); err != nil {
		return err
	}
	if err := u.sweepCopies(); err != nil {
		return err
	}
	l.add(u.goes)
	u.looked = !u.more
	return nil
}

// stays notes when a record that stays is to go; 0 is never.
func (u *upkeep) stays(expires uint64) {
	if expires != 0 && (u.goes == 0 || expires < u.goes) {
		u.goes = expires
	}
}

// sweepStaged puts marks in the place of staged messages past their expiry. The
// time of one that disappears begins anew where the clock was set back.
func (u *upkeep) sweepStaged() error {
	t := u.a.t
	var expired, again []keystore.Record
	err := u.each(kindStaged, "", func(rec *keystore.Record) {
		staged, err := wire.ParseStaged(rec.Value[1:])
		switch {
		case err != nil:
		case past(staged.Expires, u.now):
			if _, err := idOf(rec.Key); err == nil && u.room() {
				expired = append(expired, *rec)
			}
		default:
			if staged.Timer != 0 && shorten(&staged, u.now) && u.room() {
				again = append(again, keystore.Record{Key: rec.Key, Version: rec.Version, Value: wire.AppendStaged(nil, &staged)})
			}
			u.stays(staged.Expires)
		}
	})
	if err != nil {
		return err
	}
	for _, rec := range again {
		t.add(entry{rec: keystore.Record{Key: rec.Key, Version: rec.Version}})
		t.put(rec.Key, rec.Value)
	}
	return u.expire(expired)
}

// expire puts marks in the place of staged messages, and has their events outlive
// them: nobody acknowledged those.
func (u *upkeep) expire(staged []keystore.Record) error {
	if len(staged) == 0 {
		return nil
	}
	t, today := u.a.t, u.now/dayMilli
	var marks []keystore.Key
	for _, rec := range staged {
		id, _ := idOf(rec.Key)
		marks = append(marks, t.d.markKey(today, id))
	}
	if err := t.load(marks...); err != nil {
		return err
	}
	for _, rec := range staged {
		t.add(entry{rec: rec})
		message, err := t.staged(rec.Key)
		switch {
		case err != nil:
			return err
		case message == nil: // it was listed twice
			continue
		}
		id, _ := idOf(rec.Key)
		if err := t.retire(rec.Key.Owner, id, today); err != nil {
			return err
		}
		for i := range message.Events {
			err := t.Emit(eventOf(&message.Events[i]))
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) { // which are damage
				return err
			}
		}
	}
	return nil
}

// sweepCopies removes copies of sent messages that are past their time, and the
// oldest of too many.
func (u *upkeep) sweepCopies() error {
	old, goes, err := u.a.t.surplus()
	for _, n := range old {
		u.remove(n.key, n.version)
	}
	u.stays(goes)
	return err
}

// sweepRetries removes what was noted of retries more than a day ago.
func (u *upkeep) sweepRetries() error {
	return u.each(kindRetry, "", func(rec *keystore.Record) {
		r, err := wire.ParseRetry(rec.Value[1:])
		if err != nil {
			return
		}
		last := max(r.Reset, r.AskedSince, r.AnsweredSince)
		for _, q := range r.Requests {
			last = max(last, q.Last)
		}
		if lapsed(last, u.now) {
			u.remove(rec.Key, rec.Version)
		}
	})
}

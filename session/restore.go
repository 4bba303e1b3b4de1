package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	// restoreBatch and restoreBytes bound what AfterRestore changes in one
	// commit, in records and in bytes of their values.
	restoreBatch = 200
	restoreBytes = 2 << 20
	// restoredIDs is how many prekey ids of each space are passed over, as they
	// may have been given out after the backup was made (devices).
	restoredIDs = 1 << 16
)

// CheckGeneration compares the generation of a store with mark, the newest one
// that the app knows of: what Store.Generation said, kept where no restore of the
// store reaches it. A store that is older was put back, from a backup or with a
// machine's snapshot. Then every device in it is marked, in one commit, and the
// error is keystore.ErrRolledBack: the devices do nothing, but for what [Device]
// says, until AfterRestore. When all went through that, the mark to keep is the
// store's Generation again; until then the same is found at every start. An app
// that knows of a restore without a mark passes math.MaxUint64, once.
//
// It is called once per store, before devices are opened. Those that are open,
// here or in another process, notice with their next operation that they are
// marked.
//
// A store that lost only what came after mark looks all right, and so does one
// that was put back and has counted up to mark since, and one that was put back
// to what it was before an earlier restore and had counted further then. Then, as
// without this check and AfterRestore, nothing keeps a device from using a
// counter, and with it a key, for two different messages.
//
// Other errors are those of the store, and keystore.ErrInvalid in a context that
// has a keystore.Pending. All leave the store as it was, but for
// keystore.ErrCommitUnknown, after which the devices may be marked. Calling it
// again is right after each of them.
func CheckGeneration(ctx context.Context, store keystore.Store, mark uint64) error {
	if joined(ctx) { // who rolls that back, for there was an error, has no marks
		return fmt.Errorf("%w: generation checked in a transaction of the app's", keystore.ErrInvalid)
	}
	newest, err := store.Generation(ctx)
	if err != nil || newest >= mark {
		return err
	}
	d := &Device{store: store} // of any scope
	if err := d.run(ctx, "", (*Tx).markRestored); err != nil {
		return err
	}
	return keystore.ErrRolledBack
}

// markRestored marks the devices of all scopes. Those that are marked already
// stay so.
func (t *Tx) markRestored() error {
	var marks []keystore.Key
	for rec, err := range t.d.list(t.ctx, kindSelf, "") {
		if err != nil {
			return err
		}
		if rec.Key.Scope == "" { // damaged beyond that: nobody can open it
			continue
		}
		marks = append(marks, keystore.Key{Scope: rec.Key.Scope, Kind: kindRestore, Owner: ownOwner})
	}
	if len(marks) == 0 {
		return nil
	}
	slices.SortFunc(marks, func(a, b keystore.Key) int { return cmp.Compare(a.Scope, b.Scope) })
	recs, err := t.fetch(slices.Compact(marks))
	if err != nil {
		return err
	}
	for _, r := range recs {
		e := entry{rec: r, op: keystore.Put, value: prefix}
		if r.Version != 0 {
			e.op = keystore.Check
		}
		t.add(e)
	}
	return nil
}

// AfterRestore takes up a device that CheckGeneration marked, and does nothing
// for one that is not, so that it may be called after every Open. It archives
// all sessions, deletes all one-time prekeys and the own sender keys of groups,
// which would give a key twice, replaces the signed and the
// last-resort one, passes over 65,536 prekey ids of each kind, and calls
// Options.Restored. Then the device works again.
//
// Sending needs a new session, from a bundle of the peer: ErrNoSession until
// then. Upload what Upkeep returns: the directory's prekeys are all outdated.
//
// The sessions that are archived now decrypt what is late, and what peers send
// until they read something on a new session; so send them something before the
// archive drops the old ones, after 30 days. They never send again, not even after a DH step has given them a new
// chain, for what the peer knows of is not that one but, perhaps, another that
// came out of the same state after the backup:
//
//   - With the chains that a session had at the time of the backup, a counter
//     would be used twice (wire-core, Section 7.4).
//   - A DH step draws a new ratchet key, so that the chain it begins repeats
//     nothing. But the peer, who may have read the ratchet key that was drawn
//     the first time, has left the root key behind that the chain follows from.
//   - The post-quantum ratchet (spqr, Sections 5 and 7) counts its sending keys
//     on through DH steps. The peer has used the next ones, and refuses them; and
//     chunks of an epoch's key that is drawn again do not fit those it has.
//
// What was read between backup and restore may be read again, and messages
// acknowledged then are yielded by Unacknowledged again, under the same IDs; of
// what peers began or said in that time with keys that only the lost state had,
// nothing can be read. The replaced prekeys are kept as after any rotation, for
// first messages that are late. Which of those began a session after the backup
// is not remembered: one that named no one-time prekey can be replayed, once,
// and makes a session that the peer does not follow.
//
// It takes as many commits as it needs to hold few sessions in memory. After an
// error, or a crash, the device stays marked until a call goes through, which
// takes up where this one ended. Errors are keystore.ErrNewerFormat, ErrCorrupt
// for the record of the ids, what Options.Restored returns, and those of the
// store.
func (d *Device) AfterRestore(ctx context.Context) (err error) {
	erasing(func() { err = d.afterRestore(ctx) })
	return err
}

func (d *Device) afterRestore(ctx context.Context) error {
	t := d.begin(ctx)
	if marked, err := t.marked(); err != nil || !marked {
		return err
	}
	for _, kind := range oneTime { // the last of them go with the last commit
		if _, err := d.inBatches(ctx, kind, ownOwner, (*Tx).deleteAll); err != nil {
			return err
		}
	}
	senderKeys, err := d.inBatches(ctx, kindSenderKey, d.address.User, (*Tx).deleteAll)
	if err != nil {
		return err
	}
	sessions, err := d.inBatches(ctx, kindSession, "", (*Tx).archiveAll)
	if err != nil {
		return err
	}
	return d.restoring(ctx, func(t *Tx) error {
		if err := t.deleteAll(senderKeys); err != nil {
			return err
		}
		if err := t.archiveAll(sessions); err != nil {
			return err
		}
		if err := t.renewPreKeys(); err != nil {
			return err
		}
		t.del(d.restoreKey())
		if d.opts.Restored == nil {
			return nil
		}
		return d.opts.Restored(t)
	})
}

// restoring runs f as one operation on a device that is marked. One that is not
// any more was taken up by another process.
func (d *Device) restoring(ctx context.Context, f func(*Tx) error) error {
	return d.run(ctx, ownOwner, func(t *Tx) error {
		if marked, err := t.marked(); err != nil || !marked {
			return err
		}
		t.check(d.restoreKey())
		return f(t)
	})
}

// marked reports whether the device is marked, which keeps t from nothing.
func (t *Tx) marked() (bool, error) {
	t.always = true
	k := t.d.restoreKey()
	if err := t.load(k); err != nil {
		return false, err
	}
	if _, _, err := t.get(k); errors.Is(err, keystore.ErrNewerFormat) {
		return false, err
	}
	return t.has(k), nil
}

// inBatches has f change the records of a kind, in several commits, and returns
// the keys of the last ones, which are for another. Sessions that are archived
// already are left out, and records that do not decode: nothing is done with
// those, now or later; and so are the sender keys of others.
func (d *Device) inBatches(ctx context.Context, kind, owner string, f func(*Tx, []keystore.Key) error) (rest []keystore.Key, _ error) {
	size := 0
	for rec, err := range d.list(ctx, kind, owner) {
		done := false
		switch {
		case err != nil:
		case kind == kindSession:
			done, err = settled(&rec)
		case kind == kindSenderKey:
			done = !d.sendsWith(rec.Key)
		}
		if err != nil {
			return nil, err
		}
		if done {
			continue
		}
		rest, size = append(rest, rec.Key), size+len(rec.Value)
		if len(rest) < restoreBatch && size < restoreBytes {
			continue
		}
		if err := d.restoring(ctx, func(t *Tx) error { return f(t, rest) }); err != nil {
			return nil, err
		}
		rest, size = nil, 0
	}
	return rest, nil
}

// settled reports whether there is nothing to archive in a record "session".
func settled(rec *keystore.Record) (bool, error) {
	body, err := unformat(kindSession, rec.Value)
	if errors.Is(err, keystore.ErrNewerFormat) {
		return false, err
	}
	index, parseErr := wire.ParseSessionIndex(body)
	_, named := parseDecimal(rec.Key.Name)
	if err != nil || parseErr != nil || !named {
		return true, nil
	}
	sends := slices.ContainsFunc(index.Archived, func(n wire.ArchivedNote) bool { return !n.Restored })
	return index.Current == nil && !sends, nil
}

// sendsWith reports whether a record "senderkey" is of the chains that this
// device sends on, or their list.
func (d *Device) sendsWith(k keystore.Key) bool {
	device, _, _ := strings.Cut(k.Name, ",")
	return k.Owner == d.address.User && device == deviceName(d.address)
}

// deleteAll deletes records.
func (t *Tx) deleteAll(keys []keystore.Key) error {
	if err := t.load(keys...); err != nil {
		return err
	}
	for _, k := range keys {
		t.del(k)
	}
	return nil
}

// archiveAll archives the current sessions in records "session", and keeps all
// those in their archives from becoming the current one.
func (t *Tx) archiveAll(keys []keystore.Key) error {
	load := slices.Clone(keys)
	for _, k := range keys {
		load = append(load, t.d.peerKey(Address{User: k.Owner}))
	}
	if err := t.load(load...); err != nil {
		return err
	}
	books, err := t.openBooks(keys)
	if err != nil {
		return err
	}
	for i := range books {
		if err := books[i].setAside(t.d.now()); err != nil {
			return err
		}
	}
	return nil
}

// openBooks reads loaded records "session", and loads the archive records that
// archiving their current sessions changes.
func (t *Tx) openBooks(keys []keystore.Key) (books []book, err error) {
	now := t.d.now()
	var load []keystore.Key
	for _, k := range keys {
		device, _ := parseDecimal(k.Name)
		b, err := t.openBook(Address{User: k.Owner, Device: device})
		if err != nil {
			return nil, err
		}
		books = append(books, b)
		load = append(load, b.archiveKeys(b.places(func(n *wire.ArchivedNote) bool { return expired(n, now) }))...)
	}
	return books, t.load(load...)
}

// setAside archives the current session after a restore, and marks all.
func (b *book) setAside(now uint64) error {
	if err := b.archiveCurrent(now); err != nil {
		return err
	}
	b.Archived = slices.Clone(b.Archived)
	for i := range b.Archived {
		b.Archived[i].Restored = true
	}
	b.write()
	return nil
}

// renewPreKeys replaces the lasting prekeys, deletes the one-time ones, and
// passes over the ids that may have been given out.
func (t *Tx) renewPreKeys() error {
	a, err := t.allocator()
	if err != nil {
		return err
	}
	for _, next := range []*uint32{&a.ids.PreKey, &a.ids.SignedPreKey, &a.ids.KEMPreKey} {
		*next = (*next + restoredIDs) % idSpace
	}
	for _, kind := range preKeyKinds {
		for _, h := range a.stock[kind] {
			switch {
			case !h.lasts():
				t.expect(h.key, h.version)
				t.del(h.key)
			case h.active():
				a.retire(h)
			}
		}
	}
	if _, err := a.signed(); err != nil {
		return err
	}
	if _, err := a.lastResort(); err != nil {
		return err
	}
	a.close()
	return nil
}

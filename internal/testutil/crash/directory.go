package crash

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A Directory, from NewDirectory, is what a server has of a device's prekeys,
// and what is known of all those that the device ever made.
type Directory struct {
	Has      *x3dh.Publication     // what is left to hand out; nil before the first upload
	made     map[preKeyName]string // public keys
	uploaded map[preKeyName]bool
	used     map[preKeyName]bool
	deleted  map[preKeyName]bool // by a restore
}

// A preKeyName is the kind of a prekey's record, and its id.
type preKeyName struct {
	kind string
	id   uint32
}

// NewDirectory returns the directory of a device that has no prekeys.
func NewDirectory() *Directory {
	return &Directory{made: map[preKeyName]string{}, uploaded: map[preKeyName]bool{}, used: map[preKeyName]bool{}, deleted: map[preKeyName]bool{}}
}

// notes takes in a prekey that the device returned. No id returns for another
// one, and none that was used up returns.
func (d *Directory) notes(t testing.TB, kind string, id uint32, public []byte) {
	t.Helper()
	name := preKeyName{kind, id}
	if old, ok := d.made[name]; ok {
		require.Equal(t, old, string(public), "%s prekey %d is another one", kind, id)
	}
	require.False(t, d.used[name], "%s prekey %d is used up", kind, id)
	for other, its := range map[string]string{"kem": "lastresort", "lastresort": "kem"} { // which share ids
		require.False(t, kind == other && d.made[preKeyName{its, id}] != "")
	}
	d.made[name] = string(public)
}

// Published notes what Publish or Upkeep returned.
func (d *Directory) Published(t testing.TB, p *x3dh.Publication) {
	t.Helper()
	require.NoError(t, p.Verify())
	d.notes(t, "signed", p.SignedPreKey.ID, p.SignedPreKey.Key.Bytes())
	d.notes(t, "lastresort", p.LastResort.ID, p.LastResort.Key.Bytes())
	for i := range p.PreKeys {
		d.notes(t, "prekey", p.PreKeys[i].ID, p.PreKeys[i].Key.Bytes())
	}
	for i := range p.KEMPreKeys {
		d.notes(t, "kem", p.KEMPreKeys[i].ID, p.KEMPreKeys[i].Key.Bytes())
	}
}

// Bundled notes what Bundle returned: prekeys that nobody else was given.
func (d *Directory) Bundled(t testing.TB, b *x3dh.Bundle) {
	t.Helper()
	require.NotContains(t, d.made, preKeyName{"prekey", b.PreKey.ID})
	require.NotContains(t, d.made, preKeyName{"kem", b.KEMPreKey.ID})
	d.notes(t, "signed", b.SignedPreKey.ID, b.SignedPreKey.Key.Bytes())
	d.notes(t, "prekey", b.PreKey.ID, b.PreKey.Key.Bytes())
	d.notes(t, "kem", b.KEMPreKey.ID, b.KEMPreKey.Key.Bytes())
}

// Uploads gives the server what was made. What it had before it does not take
// again.
func (d *Directory) Uploads(p *x3dh.Publication) {
	next := *p
	next.PreKeys, next.KEMPreKeys = nil, nil
	if d.Has != nil {
		next.PreKeys, next.KEMPreKeys = d.Has.PreKeys, d.Has.KEMPreKeys
	}
	for i := range p.PreKeys {
		if d.isNew("prekey", p.PreKeys[i].ID) {
			next.PreKeys = append(next.PreKeys, p.PreKeys[i])
		}
	}
	for i := range p.KEMPreKeys {
		if d.isNew("kem", p.KEMPreKeys[i].ID) {
			next.KEMPreKeys = append(next.KEMPreKeys, p.KEMPreKeys[i])
		}
	}
	d.Has = &next
}

func (d *Directory) isNew(kind string, id uint32) bool {
	name := preKeyName{kind, id}
	old := d.uploaded[name]
	d.uploaded[name] = true
	return !old
}

// Uses notes that a first message was read.
func (d *Directory) Uses(t testing.TB, message []byte) {
	t.Helper()
	outer, err := wire.ParsePreKeySignalMessage(message)
	require.NoError(t, err)
	if outer.HasPreKeyID {
		d.use(t, preKeyName{"prekey", outer.PreKeyID})
	}
	if d.oneTime(&outer) {
		d.use(t, preKeyName{"kem", outer.KEMPreKeyID})
	}
}

// Restores notes that the device was taken up after a restore: what the server
// has of it is outdated, and one-time prekeys are gone.
func (d *Directory) Restores() {
	d.Has = nil
	for name := range d.made {
		if (name.kind == "prekey" || name.kind == "kem") && !d.used[name] {
			d.used[name], d.deleted[name] = true, true
		}
	}
}

// Deleted reports whether a first message names prekeys that a restore deleted.
func (d *Directory) Deleted(t testing.TB, message []byte) bool {
	t.Helper()
	outer, err := wire.ParsePreKeySignalMessage(message)
	require.NoError(t, err)
	return outer.HasPreKeyID && d.deleted[preKeyName{"prekey", outer.PreKeyID}] || d.deleted[preKeyName{"kem", outer.KEMPreKeyID}]
}

// OneTime reports whether the KEM prekey that a first message names is a
// one-time one.
func (d *Directory) OneTime(t testing.TB, message []byte) bool {
	t.Helper()
	outer, err := wire.ParsePreKeySignalMessage(message)
	require.NoError(t, err)
	return d.oneTime(&outer)
}

func (d *Directory) oneTime(m *wire.PreKeySignalMessage) bool {
	return d.made[preKeyName{"kem", m.KEMPreKeyID}] != ""
}

func (d *Directory) use(t testing.TB, name preKeyName) {
	t.Helper()
	require.Contains(t, d.made, name)
	require.False(t, d.used[name], "%s prekey %d used twice", name.kind, name.id)
	d.used[name] = true
}

// Check requires that a device's records have all prekeys that it ever made,
// but those that sessions used up, and no others. None is past its time. Unseen
// says that a process was killed that made some: there may be more of them. It
// returns how many signed ones there are.
func (d *Directory) Check(t testing.TB, records []keystore.Record, unseen bool) (signed int) {
	t.Helper()
	want, got := map[preKeyName]string{}, map[preKeyName]string{}
	for name, public := range d.made {
		if !d.used[name] {
			want[name] = public
		}
	}
	for i := range records {
		name, public, ok := storedPreKey(t, &records[i])
		if ok && (!unseen || d.made[name] != "" || d.used[name]) {
			got[name] = public
		}
		if name.kind == "signed" {
			signed++
		}
	}
	require.Equal(t, want, got, "prekeys lost, or not used up")
	return signed
}

// storedPreKey reads the record of a prekey; ok is false for any other one.
func storedPreKey(t testing.TB, r *keystore.Record) (name preKeyName, public string, ok bool) {
	t.Helper()
	switch r.Key.Kind {
	case "prekey", "signed", "kem", "lastresort":
	default:
		return name, "", false
	}
	require.NotEmpty(t, r.Value)
	stored, err := wire.ParseStoredPreKey(r.Value[1:])
	require.NoError(t, err)
	rec, err := wire.ParseSignedPreKeyRecord(stored.Record)
	if r.Key.Kind == "prekey" {
		var one wire.PreKeyRecord
		one, err = wire.ParsePreKeyRecord(stored.Record)
		rec.ID, rec.Public = one.ID, one.Public
	}
	require.NoError(t, err)
	return preKeyName{r.Key.Kind, rec.ID}, string(rec.Public), true
}

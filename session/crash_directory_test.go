package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A directory is what a server has of a device's prekeys, and what is known of
// all those that the device ever made.
type directory struct {
	has      *x3dh.Publication     // what is left to hand out
	made     map[preKeyName]string // public keys
	uploaded map[preKeyName]bool
	used     map[preKeyName]bool
}

// A preKeyName is the kind of a prekey's record, and its id.
type preKeyName struct {
	kind string
	id   uint32
}

func newDirectory() *directory {
	return &directory{made: map[preKeyName]string{}, uploaded: map[preKeyName]bool{}, used: map[preKeyName]bool{}}
}

// notes takes in a prekey that the device returned. No id returns for another
// one, and none that was used up returns.
func (d *directory) notes(t testing.TB, kind string, id uint32, public []byte) {
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

// published notes what Publish or Upkeep returned.
func (d *directory) published(t testing.TB, p *x3dh.Publication) {
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

// bundled notes what Bundle returned: prekeys that nobody else was given.
func (d *directory) bundled(t testing.TB, b *x3dh.Bundle) {
	t.Helper()
	require.NotContains(t, d.made, preKeyName{"prekey", b.PreKey.ID})
	require.NotContains(t, d.made, preKeyName{"kem", b.KEMPreKey.ID})
	d.notes(t, "signed", b.SignedPreKey.ID, b.SignedPreKey.Key.Bytes())
	d.notes(t, "prekey", b.PreKey.ID, b.PreKey.Key.Bytes())
	d.notes(t, "kem", b.KEMPreKey.ID, b.KEMPreKey.Key.Bytes())
}

// uploads gives the server what was made. What it had before it does not take
// again.
func (d *directory) uploads(p *x3dh.Publication) {
	next := *p
	next.PreKeys, next.KEMPreKeys = nil, nil
	if d.has != nil {
		next.PreKeys, next.KEMPreKeys = d.has.PreKeys, d.has.KEMPreKeys
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
	d.has = &next
}

func (d *directory) isNew(kind string, id uint32) bool {
	name := preKeyName{kind, id}
	old := d.uploaded[name]
	d.uploaded[name] = true
	return !old
}

// uses notes that a first message was read.
func (d *directory) uses(t testing.TB, m *session.Message) {
	t.Helper()
	outer := outerOf(t, m)
	if outer.HasPreKeyID {
		d.use(t, preKeyName{"prekey", outer.PreKeyID})
	}
	if d.oneTime(&outer) {
		d.use(t, preKeyName{"kem", outer.KEMPreKeyID})
	}
}

// oneTime reports whether the KEM prekey that a first message names is a
// one-time one.
func (d *directory) oneTime(m *wire.PreKeySignalMessage) bool {
	return d.made[preKeyName{"kem", m.KEMPreKeyID}] != ""
}

func (d *directory) use(t testing.TB, name preKeyName) {
	t.Helper()
	require.Contains(t, d.made, name)
	require.False(t, d.used[name], "%s prekey %d used twice", name.kind, name.id)
	d.used[name] = true
}

// checks requires that a device has all prekeys that it ever made, but those
// that sessions used up, and no others. None is past its time. It returns how
// many signed ones there are.
func (d *directory) checks(t testing.TB, s *side) (signed int) {
	t.Helper()
	want, got := map[preKeyName]string{}, map[preKeyName]string{}
	for name, public := range d.made {
		if !d.used[name] {
			want[name] = public
		}
	}
	for _, kind := range []string{"prekey", "signed", "kem", "lastresort"} {
		for _, r := range s.list(t, kind, "") {
			stored, err := wire.ParseStoredPreKey(r.Value[1:])
			require.NoError(t, err)
			rec, err := wire.ParseSignedPreKeyRecord(stored.Record)
			if kind == "prekey" {
				var one wire.PreKeyRecord
				one, err = wire.ParsePreKeyRecord(stored.Record)
				rec.ID, rec.Public = one.ID, one.Public
			}
			require.NoError(t, err)
			got[preKeyName{kind, rec.ID}] = string(rec.Public)
		}
	}
	require.Equal(t, want, got, "prekeys lost, or not used up")
	return len(s.list(t, "signed", ""))
}

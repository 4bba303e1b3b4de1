package session

import (
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An allocator makes prekeys within an operation. The record "nextid" changes
// with every allocation, so that no id ever returns and two processes never
// give out the same one.
type allocator struct {
	wire.Secret

	t    *tx
	ids  wire.NextIDs
	held map[string]map[uint32]*wire.StoredPreKey // by kind and id
}

// allocator reads the ids and what the store holds.
func (t *tx) allocator() (*allocator, error) {
	a := &allocator{t: t, ids: wire.NextIDs{PreKey: 1, SignedPreKey: 1, KEMPreKey: 1}, held: make(map[string]map[uint32]*wire.StoredPreKey)}
	next := t.d.key(kindNextID, ownOwner, "")
	if err := t.load(next); err != nil {
		return nil, err
	}
	body, ok, err := t.get(next)
	if err != nil {
		return nil, err
	}
	if ok {
		if a.ids, err = wire.ParseNextIDs(body); err != nil {
			return nil, corrupt(err)
		}
	}
	for _, kind := range []string{kindPreKey, kindSigned, kindKEM, kindLastResort} {
		if err := a.list(kind); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *allocator) list(kind string) error {
	d := a.t.d
	a.held[kind] = make(map[uint32]*wire.StoredPreKey)
	for rec, err := range d.store.List(a.t.ctx, d.scope, kind, ownOwner) {
		if err != nil {
			return err
		}
		body, err := unformat(kind, rec.Value)
		if err != nil {
			return err
		}
		stored, err := wire.ParseStoredPreKey(body)
		if err != nil {
			return corrupt(err)
		}
		id, err := recordID(kind, stored.Record)
		if err != nil {
			return err
		}
		a.held[kind][id] = &stored
	}
	return nil
}

func recordID(kind string, record []byte) (uint32, error) {
	if kind == kindPreKey {
		rec, err := wire.ParsePreKeyRecord(record)
		if err != nil {
			return 0, corrupt(err)
		}
		return rec.ID, nil
	}
	rec, err := wire.ParseSignedPreKeyRecord(record)
	if err != nil {
		return 0, corrupt(err)
	}
	return rec.ID, nil
}

// id takes the next id of a space, 24 bits, passing over those in use.
func (a *allocator) id(next *uint32, kinds ...string) uint32 {
	for {
		id := *next % idSpace
		*next = id + 1
		used := false
		for _, kind := range kinds {
			used = used || a.held[kind][id] != nil
		}
		if !used {
			return id
		}
	}
}

// add stores a new prekey.
func (a *allocator) add(kind string, id uint32, record []byte, published uint64) {
	d := a.t.d
	stored := &wire.StoredPreKey{Record: record, Created: d.now(), Published: published}
	a.held[kind][id] = stored
	k := d.idKey(kind, id)
	a.t.expect(k, 0)
	a.t.put(k, wire.AppendStoredPreKey(nil, stored))
}

// close stores the ids.
func (a *allocator) close() {
	a.t.put(a.t.d.key(kindNextID, ownOwner, ""), wire.AppendNextIDs(nil, &a.ids))
}

// preKey makes a one-time prekey.
func (a *allocator) preKey(published uint64) x3dh.PreKey {
	private := keys.GeneratePrivateKey()
	out := x3dh.PreKey{ID: a.id(&a.ids.PreKey, kindPreKey), Key: private.PublicKey()}
	rec := wire.PreKeyRecord{ID: out.ID, Public: out.Key.Bytes(), Private: private.Bytes()}
	a.add(kindPreKey, out.ID, wire.AppendPreKeyRecord(nil, &rec), published)
	return out
}

// kem makes a KEM prekey, one-time or last resort by kind.
func (a *allocator) kem(kind string, published uint64) x3dh.KEMPreKey {
	private := keys.GenerateKEMPrivateKey()
	out := x3dh.KEMPreKey{ID: a.id(&a.ids.KEMPreKey, kindKEM, kindLastResort), Key: private.Public()}
	out.Signature = a.t.d.identity.SignKEMPreKey(out.Key)
	rec := wire.SignedPreKeyRecord{ID: out.ID, Public: out.Key.Bytes(), Private: private.Bytes(),
		Signature: out.Signature, Created: a.t.d.now()}
	a.add(kind, out.ID, wire.AppendSignedPreKeyRecord(nil, &rec), published)
	return out
}

// signed returns the newest signed prekey, made if there is none.
func (a *allocator) signed() (x3dh.SignedPreKey, error) {
	if stored := newest(a.held[kindSigned]); stored != nil {
		return publicSigned(stored.Record)
	}
	private := keys.GeneratePrivateKey()
	out := x3dh.SignedPreKey{ID: a.id(&a.ids.SignedPreKey, kindSigned), Key: private.PublicKey()}
	out.Signature = a.t.d.identity.SignPreKey(out.Key)
	rec := wire.SignedPreKeyRecord{ID: out.ID, Public: out.Key.Bytes(), Private: private.Bytes(),
		Signature: out.Signature, Created: a.t.d.now()}
	a.add(kindSigned, out.ID, wire.AppendSignedPreKeyRecord(nil, &rec), a.t.d.now())
	return out, nil
}

// lastResort returns the newest last-resort KEM prekey, made if there is none.
func (a *allocator) lastResort() (x3dh.KEMPreKey, error) {
	if stored := newest(a.held[kindLastResort]); stored != nil {
		return publicKEM(stored.Record)
	}
	return a.kem(kindLastResort, a.t.d.now()), nil
}

// unpublished returns the one-time prekeys that no directory has, by id.
func (a *allocator) unpublished() (ones []x3dh.PreKey, kems []x3dh.KEMPreKey, err error) {
	for _, id := range sorted(a.held[kindPreKey]) {
		rec, err := wire.ParsePreKeyRecord(a.held[kindPreKey][id].Record)
		if err != nil {
			return nil, nil, corrupt(err)
		}
		public, err := keys.ParsePublicKey(rec.Public)
		if err != nil {
			return nil, nil, corrupt(err)
		}
		ones = append(ones, x3dh.PreKey{ID: id, Key: public})
	}
	for _, id := range sorted(a.held[kindKEM]) {
		k, err := publicKEM(a.held[kindKEM][id].Record)
		if err != nil {
			return nil, nil, err
		}
		kems = append(kems, k)
	}
	return ones, kems, nil
}

// sorted returns the ids of the prekeys that no directory has, ascending.
func sorted(held map[uint32]*wire.StoredPreKey) []uint32 {
	var ids []uint32
	for id, stored := range held {
		if stored.Published == 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// newest returns the prekey made last; of two made at once, the one with the
// higher id.
func newest(held map[uint32]*wire.StoredPreKey) *wire.StoredPreKey {
	var out *wire.StoredPreKey
	var at uint32
	for id, stored := range held {
		if out == nil || stored.Created > out.Created || stored.Created == out.Created && id > at {
			out, at = stored, id
		}
	}
	return out
}

func publicSigned(record []byte) (out x3dh.SignedPreKey, err error) {
	rec, err := wire.ParseSignedPreKeyRecord(record)
	if err != nil {
		return out, corrupt(err)
	}
	public, err := keys.ParsePublicKey(rec.Public)
	if err != nil {
		return out, corrupt(err)
	}
	return x3dh.SignedPreKey{ID: rec.ID, Key: public, Signature: rec.Signature}, nil
}

func publicKEM(record []byte) (out x3dh.KEMPreKey, err error) {
	rec, err := wire.ParseSignedPreKeyRecord(record)
	if err != nil {
		return out, corrupt(err)
	}
	public, err := keys.ParseKEMPublicKey(rec.Public)
	if err != nil {
		return out, corrupt(err)
	}
	return x3dh.KEMPreKey{ID: rec.ID, Key: public, Signature: rec.Signature}, nil
}

// storedPreKey reads a loaded prekey record; nil where there is none.
func (t *tx) storedPreKey(k keystore.Key) (*wire.StoredPreKey, error) {
	body, ok, err := t.get(k)
	if err != nil || !ok {
		return nil, err
	}
	stored, err := wire.ParseStoredPreKey(body)
	if err != nil {
		return nil, corrupt(err)
	}
	return &stored, nil
}

// preKeyRecord reads a loaded one-time prekey; nil where there is none.
func (t *tx) preKeyRecord(k keystore.Key) (*wire.PreKeyRecord, error) {
	stored, err := t.storedPreKey(k)
	if err != nil || stored == nil {
		return nil, err
	}
	rec, err := wire.ParsePreKeyRecord(stored.Record)
	if err != nil {
		return nil, corrupt(err)
	}
	return &rec, nil
}

// signedRecord reads a loaded signed or KEM prekey; nil where there is none.
func (t *tx) signedRecord(k keystore.Key) (*wire.SignedPreKeyRecord, error) {
	stored, err := t.storedPreKey(k)
	if err != nil || stored == nil {
		return nil, err
	}
	rec, err := wire.ParseSignedPreKeyRecord(stored.Record)
	if err != nil {
		return nil, corrupt(err)
	}
	return &rec, nil
}

package session

import (
	"cmp"
	"errors"
	"slices"
	"strconv"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// idSpace is the number of prekey ids, which are 24 bits.
const idSpace = 1 << 24

// An allocator makes prekeys within an operation. The record "nextid" changes
// with every allocation, so that no id ever returns and two processes never
// give out the same one.
type allocator struct {
	wire.Secret
	stock

	t    *Tx
	ids  wire.NextIDs
	made bool // an id was taken
}

// A stock is the prekeys that a store holds, by kind and id.
type stock map[string]map[uint32]*held

// preKeyKinds are the kinds of records in a stock.
var preKeyKinds = []string{kindPreKey, kindSigned, kindKEM, kindLastResort}

// A held is a prekey of the store. One whose record does not decode is damaged
// and has its id only: it is nobody's, is left as it is, and keeps its id from
// being given out.
type held struct {
	wire.StoredPreKey

	id      uint32
	key     keystore.Key
	version uint64
	damaged bool
}

// lasts reports whether more than one session may begin with the prekey.
func (h *held) lasts() bool { return h.key.Kind == kindSigned || h.key.Kind == kindLastResort }

// active reports whether a directory has the prekey, or should.
func (h *held) active() bool { return !h.damaged && h.Retired == 0 }

// allocator reads the ids and what the store holds.
func (t *Tx) allocator() (*allocator, error) {
	a := &allocator{t: t, stock: make(stock), ids: wire.NextIDs{PreKey: 1, SignedPreKey: 1, KEMPreKey: 1}}
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
	for _, kind := range preKeyKinds {
		if err := a.list(kind); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *allocator) list(kind string) error {
	d := a.t.d
	a.stock[kind] = make(map[uint32]*held)
	for rec, err := range d.list(a.t.ctx, kind, ownOwner) {
		if err != nil {
			return err
		}
		id, ok := parseDecimal(rec.Key.Name)
		if !ok {
			continue // no message names it
		}
		if a.stock[kind][id], err = hold(id, &rec); err != nil {
			return err
		}
	}
	return nil
}

// hold reads a record of a prekey. Damage is no error, a newer format is.
func hold(id uint32, rec *keystore.Record) (*held, error) {
	h := &held{id: id, key: rec.Key, version: rec.Version}
	body, err := unformat(rec.Key.Kind, rec.Value)
	if errors.Is(err, keystore.ErrNewerFormat) {
		return nil, err
	}
	if err == nil {
		h.StoredPreKey, err = wire.ParseStoredPreKey(body)
	}
	if err == nil {
		err = h.decodes()
	}
	if err != nil {
		h.StoredPreKey, h.damaged = wire.StoredPreKey{}, true
	}
	return h, nil
}

// decodes says whether the record is one of the id in its key. A KEM key, which
// takes longest, is looked at only where somebody may have to be told of it.
func (h *held) decodes() error {
	id, public, err := halves(h.key.Kind, h.Record)
	switch {
	case err != nil:
	case id != h.id:
		err = errRecordName
	case h.key.Kind == kindPreKey, h.key.Kind == kindSigned:
		_, err = keys.ParsePublicKey(public)
	case h.key.Kind == kindLastResort, h.Published|h.Retired == 0:
		_, err = keys.ParseKEMPublicKey(public)
	}
	return err
}

// decimal is how an id stands in a record's key.
func decimal(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func parseDecimal(name string) (id uint32, ok bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), err == nil && decimal(uint32(n)) == name
}

// halves returns the id and the public key in the record of a prekey.
func halves(kind string, record []byte) (id uint32, public []byte, err error) {
	if kind == kindPreKey {
		rec, err := wire.ParsePreKeyRecord(record)
		return rec.ID, rec.Public, err
	}
	rec, err := wire.ParseSignedPreKeyRecord(record)
	return rec.ID, rec.Public, err
}

// id takes the next id of a space, 24 bits, passing over those in use.
func (a *allocator) id(next *uint32, kinds ...string) uint32 {
	a.made = true
	for {
		id := *next % idSpace
		*next = id + 1
		used := false
		for _, kind := range kinds {
			used = used || a.stock[kind][id] != nil
		}
		if !used {
			return id
		}
	}
}

// add stores a new prekey.
func (a *allocator) add(kind string, id uint32, record []byte, retired uint64) {
	h := &held{id: id, key: a.t.d.idKey(kind, id)}
	h.StoredPreKey = wire.StoredPreKey{Record: record, Created: a.t.d.now(), Retired: retired}
	a.stock[kind][id] = h
	a.t.expect(h.key, 0)
	a.t.put(h.key, wire.AppendStoredPreKey(nil, &h.StoredPreKey))
}

// retire retires a lasting prekey. The time is not before it was made, whatever
// the clock: it is kept from then on.
func (a *allocator) retire(h *held) {
	h.Retired = max(a.t.d.now(), h.Created)
	a.t.expect(h.key, h.version)
	a.t.put(h.key, wire.AppendStoredPreKey(nil, &h.StoredPreKey))
}

// close stores the ids, if any was taken.
func (a *allocator) close() {
	if a.made {
		a.t.put(a.t.d.key(kindNextID, ownOwner, ""), wire.AppendNextIDs(nil, &a.ids))
	}
}

// preKey makes a one-time prekey. One that goes to nobody but a single peer is
// retired from the start.
func (a *allocator) preKey(retired uint64) x3dh.PreKey {
	private := keys.GeneratePrivateKey()
	out := x3dh.PreKey{ID: a.id(&a.ids.PreKey, kindPreKey), Key: private.PublicKey()}
	rec := wire.PreKeyRecord{ID: out.ID, Public: out.Key.Bytes(), Private: private.Bytes()}
	a.add(kindPreKey, out.ID, wire.AppendPreKeyRecord(nil, &rec), retired)
	return out
}

// kem makes a KEM prekey, one-time or last resort by kind.
func (a *allocator) kem(kind string, retired uint64) x3dh.KEMPreKey {
	private := keys.GenerateKEMPrivateKey()
	out := x3dh.KEMPreKey{ID: a.id(&a.ids.KEMPreKey, kindKEM, kindLastResort), Key: private.Public()}
	out.Signature = a.t.d.identity.SignKEMPreKey(out.Key)
	rec := wire.SignedPreKeyRecord{ID: out.ID, Public: out.Key.Bytes(), Private: private.Bytes(),
		Signature: out.Signature, Created: a.t.d.now()}
	a.add(kind, out.ID, wire.AppendSignedPreKeyRecord(nil, &rec), retired)
	return out
}

// signed returns the current signed prekey, made if there is none.
func (a *allocator) signed() (x3dh.SignedPreKey, error) {
	if h := a.current(kindSigned); h != nil {
		return publicSigned(h.Record)
	}
	private := keys.GeneratePrivateKey()
	out := x3dh.SignedPreKey{ID: a.id(&a.ids.SignedPreKey, kindSigned), Key: private.PublicKey()}
	out.Signature = a.t.d.identity.SignPreKey(out.Key)
	rec := wire.SignedPreKeyRecord{ID: out.ID, Public: out.Key.Bytes(), Private: private.Bytes(),
		Signature: out.Signature, Created: a.t.d.now()}
	a.add(kindSigned, out.ID, wire.AppendSignedPreKeyRecord(nil, &rec), 0)
	return out, nil
}

// lastResort returns the current last-resort KEM prekey, made if there is none.
func (a *allocator) lastResort() (x3dh.KEMPreKey, error) {
	if h := a.current(kindLastResort); h != nil {
		return publicKEM(h.Record)
	}
	return a.kem(kindLastResort, 0), nil
}

// fill makes one-time prekeys up to n of each kind.
func (a *allocator) fill(n int) {
	for range n - a.count(kindPreKey) {
		a.preKey(0)
	}
	for range n - a.count(kindKEM) {
		a.kem(kindKEM, 0)
	}
}

// publication returns what a directory should have: the lasting prekeys, made
// if there are none, and the one-time ones that it has not, by id.
func (a *allocator) publication() (*x3dh.Publication, error) {
	d := a.t.d
	out := &x3dh.Publication{RegistrationID: d.regID, DeviceID: d.address.Device, IdentityKey: d.identity.Public()}
	var err error
	if out.SignedPreKey, err = a.signed(); err != nil {
		return nil, err
	}
	if out.LastResort, err = a.lastResort(); err != nil {
		return nil, err
	}
	for _, h := range a.unpublished(kindPreKey) {
		k, err := publicOneTime(h.Record)
		if err != nil {
			return nil, err
		}
		out.PreKeys = append(out.PreKeys, k)
	}
	for _, h := range a.unpublished(kindKEM) {
		k, err := publicKEM(h.Record)
		if err != nil {
			return nil, err
		}
		out.KEMPreKeys = append(out.KEMPreKeys, k)
	}
	return out, nil
}

// count counts the one-time prekeys of a kind that a directory has or should.
func (s stock) count(kind string) (n int) {
	for _, h := range s[kind] {
		if h.active() {
			n++
		}
	}
	return n
}

// unpublished returns the prekeys of a kind that no directory has and one
// should, by id.
func (s stock) unpublished(kind string) (out []*held) {
	for _, h := range s[kind] {
		if h.active() && h.Published == 0 {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b *held) int { return cmp.Compare(a.id, b.id) })
	return out
}

// current returns the prekey of a kind made last, of those that were not
// replaced; of two made at once, the one with the higher id.
func (s stock) current(kind string) (out *held) {
	for id, h := range s[kind] {
		if h.active() && (out == nil || h.Created > out.Created || h.Created == out.Created && id > out.id) {
			out = h
		}
	}
	return out
}

func publicOneTime(record []byte) (out x3dh.PreKey, err error) {
	rec, err := wire.ParsePreKeyRecord(record)
	if err != nil {
		return out, corrupt(err)
	}
	public, err := keys.ParsePublicKey(rec.Public)
	if err != nil {
		return out, corrupt(err)
	}
	return x3dh.PreKey{ID: rec.ID, Key: public}, nil
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
func (t *Tx) storedPreKey(k keystore.Key) (*wire.StoredPreKey, error) {
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
func (t *Tx) preKeyRecord(k keystore.Key) (*wire.PreKeyRecord, error) {
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
func (t *Tx) signedRecord(k keystore.Key) (*wire.SignedPreKeyRecord, error) {
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

package session

import (
	"crypto/subtle"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// preKeyKeys are the records that a message which begins a session names.
func (in *inbound) preKeyKeys() []keystore.Key {
	d := in.d
	load := []keystore.Key{in.archiveKey(), d.idKey(kindSigned, in.outer.SignedPreKeyID)}
	if in.outer.HasKEM {
		load = append(load, d.idKey(kindKEM, in.outer.KEMPreKeyID), d.idKey(kindLastResort, in.outer.KEMPreKeyID), in.baseKeyKey())
	}
	if in.outer.HasPreKeyID {
		load = append(load, d.idKey(kindPreKey, in.outer.PreKeyID))
	}
	return load
}

// preKey decrypts a message that begins a session, or began one that is known
// by its base key (wire-core, Section 9.2).
func (in *inbound) preKey() (*Received, error) {
	c, err := in.match()
	if err != nil {
		return nil, err
	}
	if c == nil {
		return in.respond()
	}
	remote, err := c.s.RemoteIdentity()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, corrupt(err))
	}
	if !remote.Equal(in.theirIdentity) {
		return nil, &IdentityMismatchError{Address: in.from, Expected: remote, Seen: in.theirIdentity}
	}
	if err := in.attempt(c); err != nil {
		return nil, err
	}
	return in.deliver(c)
}

func (in *inbound) archiveKey() keystore.Key {
	return in.d.archiveKey(in.from, hashOf(in.outer.BaseKey))
}

func (in *inbound) baseKeyKey() keystore.Key {
	return in.d.baseKeyKey(in.outer.SignedPreKeyID, in.outer.KEMPreKeyID, hashOf(in.outer.BaseKey))
}

// match finds the session that the message's base key began; nil if there is
// none. A current session that does not decode is none.
func (in *inbound) match() (*candidate, error) {
	matches := func(s *ratchet.Session) bool {
		return s.Version() == uint32(in.outer.Version) && subtle.ConstantTimeCompare(in.outer.BaseKey, s.BaseKey()) == 1
	}
	if s, err := in.book.current(); err == nil && s != nil && matches(s) {
		return &candidate{s: s, place: -1}, nil
	}
	i := in.book.byName(hashOf(in.outer.BaseKey))
	if i < 0 || expired(&in.book.Archived[i], in.now) {
		return nil, nil
	}
	s, err := in.book.archived(i)
	if err != nil || s == nil || !matches(s) {
		return nil, err
	}
	return &candidate{s: s, place: i}, nil
}

// respond makes a new session from the message.
func (in *inbound) respond() (*Received, error) {
	if in.outer.Version != wire.Version {
		return nil, errOldVersion
	}
	if err := in.require(in.theirIdentity); err != nil {
		return nil, err
	}
	k, err := in.preKeys()
	if err != nil {
		return nil, err
	}
	s, err := in.accept(k)
	if err != nil {
		return nil, err
	}
	c := &candidate{s: s, place: -1}
	if err := in.attempt(c); err != nil {
		return nil, err
	}
	return in.admit(c, k)
}

// preKeys are the own prekeys that a message names.
type preKeys struct {
	wire.Secret

	signed       *keys.PrivateKey
	signedPublic keys.PublicKey
	oneTime      *keys.PrivateKey // nil: none named
	kem          *keys.KEMPrivateKey
	lastResort   bool
}

// preKeys finds the prekeys, and refuses a base key that began a session with
// a last-resort key before.
func (in *inbound) preKeys() (*preKeys, error) {
	d, k := in.d, &preKeys{}
	rec, err := in.t.signedRecord(d.idKey(kindSigned, in.outer.SignedPreKeyID))
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, &PreKeyNotFoundError{Kind: "signed", ID: in.outer.SignedPreKeyID}
	}
	if k.signed, err = keys.NewPrivateKey(rec.Private); err != nil {
		return nil, corrupt(err)
	}
	if k.signedPublic, err = keys.ParsePublicKey(rec.Public); err != nil {
		return nil, corrupt(err)
	}
	if err := in.kem(k); err != nil {
		return nil, err
	}
	if !in.outer.HasPreKeyID {
		return k, nil
	}
	one, err := in.t.preKeyRecord(d.idKey(kindPreKey, in.outer.PreKeyID))
	if err != nil {
		return nil, err
	}
	if one == nil {
		return nil, &PreKeyNotFoundError{Kind: "one-time", ID: in.outer.PreKeyID}
	}
	if k.oneTime, err = keys.NewPrivateKey(one.Private); err != nil {
		return nil, corrupt(err)
	}
	return k, nil
}

// kem finds the KEM prekey.
func (in *inbound) kem(k *preKeys) error {
	d, id := in.d, in.outer.KEMPreKeyID
	rec, err := in.t.signedRecord(d.idKey(kindKEM, id))
	if err != nil {
		return err
	}
	if rec == nil {
		if rec, err = in.t.signedRecord(d.idKey(kindLastResort, id)); err != nil {
			return err
		}
		k.lastResort = true
	}
	if rec == nil {
		return &PreKeyNotFoundError{Kind: "KEM", ID: id}
	}
	if k.lastResort && in.t.has(in.baseKeyKey()) {
		return &BaseKeyReusedError{SignedPreKeyID: in.outer.SignedPreKeyID, KEMPreKeyID: id}
	}
	if k.kem, err = keys.ParseKEMPrivateKey(rec.Private); err != nil {
		return corrupt(err)
	}
	return nil
}

// accept computes the responder's session.
func (in *inbound) accept(k *preKeys) (*ratchet.Session, error) {
	a, err := x3dh.Respond(&x3dh.Response{
		Identity: in.d.identity, SignedPreKey: k.signed, PreKey: k.oneTime, KEMPreKey: k.kem,
		TheirIdentity: in.theirIdentity, BaseKey: in.baseKey, Ciphertext: in.outer.KEMCiphertext,
	})
	if err != nil {
		return nil, err
	}
	defer a.Clear()
	secret := a.Keys()
	defer clear(secret[:])
	p := in.d.params(in.from, in.theirIdentity, in.outer.RegistrationID, in.baseKey)
	return ratchet.Accept(&secret, p, k.signed, k.signedPublic), nil
}

// admit records the new session and uses up its prekeys.
func (in *inbound) admit(c *candidate, k *preKeys) (*Received, error) {
	d, b := in.d, in.book
	accepted := in.trust.accepts(in.theirIdentity)
	events := in.trust.see(in.theirIdentity, in.now)
	if accepted {
		if b.Current != nil {
			events = append(events, Event{Kind: SessionRenewed, Address: in.from})
		}
		if err := b.archiveCurrent(in.now); err != nil {
			return nil, err
		}
		b.renew(c.s)
	} else if err := b.archive(c.s, in.now, true); err != nil {
		return nil, err
	}
	if err := b.expire(in.now); err != nil {
		return nil, err
	}
	b.write()
	in.t.check(d.peerKey(in.from))
	in.t.check(d.idKey(kindSigned, in.outer.SignedPreKeyID))
	if k.oneTime != nil {
		in.t.del(d.idKey(kindPreKey, in.outer.PreKeyID))
	}
	if k.lastResort {
		in.t.check(d.idKey(kindLastResort, in.outer.KEMPreKeyID))
		in.t.put(in.baseKeyKey(), nil)
	} else {
		in.t.del(d.idKey(kindKEM, in.outer.KEMPreKeyID))
	}
	return &Received{Identity: in.theirIdentity, Accepted: accepted, NoOneTimePreKey: k.oneTime == nil, Plaintext: c.plaintext, Events: events}, nil
}

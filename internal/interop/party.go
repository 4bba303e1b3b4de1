package interop

import (
	"strconv"
	"time"
)

// The types of a message, as the official library numbers them.
const (
	Whisper = 2
	PreKey  = 3
)

// An Address is a name and a device from 1 to 127.
type Address struct {
	Name   string `json:"name"`
	Device uint32 `json:"device"`
}

// A Message is a ciphertext and its type, Whisper or PreKey.
type Message struct {
	Type  int `json:"type"`
	Bytes Hex `json:"bytes"`
}

// A Bundle is what one device publishes for one session.
type Bundle struct {
	RegistrationID        uint32 `json:"registrationId"`
	Device                uint32 `json:"device"`
	IdentityKey           Hex    `json:"identityKey"`
	SignedPreKeyID        uint32 `json:"signedPreKeyId"`
	SignedPreKey          Hex    `json:"signedPreKey"`
	SignedPreKeySignature Hex    `json:"signedPreKeySignature"`
	PreKeyID              uint32 `json:"preKeyId"`
	PreKey                Hex    `json:"preKey,omitempty"` // empty: no one-time prekey
	KyberPreKeyID         uint32 `json:"kyberPreKeyId"`
	KyberPreKey           Hex    `json:"kyberPreKey"`
	KyberPreKeySignature  Hex    `json:"kyberPreKeySignature"`
	LastResort            bool   `json:"lastResort"`
}

// PartyOptions say who a party is. Name and Device are required.
type PartyOptions struct {
	Name           string `json:"name"`
	Device         uint32 `json:"device"`
	RegistrationID uint32 `json:"registrationId"`
	Identity       Hex    `json:"identity,omitempty"` // private key, 32 bytes; empty: a new one
	Log            bool   `json:"log,omitempty"`      // keep the store calls for TakeLog
}

// A Party is one device of the official library, with stores of its own inside
// the child. It is safe for use by several goroutines.
type Party struct {
	peer            *Peer
	handle          string
	Address         Address
	RegistrationID  uint32
	Identity        []byte // public key, 33 bytes
	IdentityPrivate []byte // 32 bytes
}

// NewParty makes a party with empty stores, which trusts identities on first use.
func (p *Peer) NewParty(o PartyOptions) (*Party, error) {
	p.mu.Lock()
	p.parties++
	handle := strconv.FormatUint(p.parties, 10)
	p.mu.Unlock()
	in := struct {
		Party string `json:"party"`
		PartyOptions
	}{handle, o}
	var out struct{ Identity, IdentityPrivate Hex }
	if err := p.Call("newParty", in, &out); err != nil {
		return nil, err
	}
	return &Party{p, handle, Address{o.Name, o.Device}, o.RegistrationID, out.Identity, out.IdentityPrivate}, nil
}

// A request is the fields of the operations on a party.
type request struct {
	Party          string   `json:"party"`
	Remote         *Address `json:"remote,omitempty"`
	Now            int64    `json:"now,omitempty"` // ms; 0: the child's clock
	Bundle         *Bundle  `json:"bundle,omitempty"`
	Plaintext      *Hex     `json:"plaintext,omitempty"`
	Plaintexts     []Hex    `json:"plaintexts,omitempty"`
	Record         *Hex     `json:"record,omitempty"`
	Key            Hex      `json:"key,omitempty"`
	Trust          string   `json:"trust,omitempty"`
	DistributionID string   `json:"distributionId,omitempty"`
	*BundleOptions          // makeBundle
	*Records                // addPreKeys
	*Message                // decrypt
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// BundleOptions choose what a bundle holds. A signed or KEM prekey whose id the
// party holds already is handed out again; nil ids are new ones.
type BundleOptions struct {
	OneTime        bool    `json:"oneTime,omitempty"`    // with a one-time EC prekey
	LastResort     bool    `json:"lastResort,omitempty"` // the KEM prekey outlives its use
	PreKeyID       *uint32 `json:"preKeyId,omitempty"`
	SignedPreKeyID *uint32 `json:"signedPreKeyId,omitempty"`
	KyberPreKeyID  *uint32 `json:"kyberPreKeyId,omitempty"`
}

// MakeBundle draws prekeys, keeps their private halves and returns the public ones.
func (a *Party) MakeBundle(o BundleOptions) (*Bundle, error) {
	var out struct{ Bundle *Bundle }
	err := a.peer.Call("makeBundle", request{Party: a.handle, BundleOptions: &o}, &out)
	return out.Bundle, err
}

// Records are serialised prekeys, and the ids of those KEM prekeys that are last
// resort.
type Records struct {
	PreKeys       []Hex    `json:"preKeys,omitempty"`
	SignedPreKeys []Hex    `json:"signedPreKeys,omitempty"`
	KyberPreKeys  []Hex    `json:"kyberPreKeys,omitempty"`
	LastResortIDs []uint32 `json:"lastResortIds,omitempty"`
}

// AddPreKeys puts records into the party's stores.
func (a *Party) AddPreKeys(r Records) error {
	return a.peer.Call("addPreKeys", request{Party: a.handle, Records: &r}, nil)
}

// ProcessBundle begins a session with remote. The zero now is the child's clock,
// here and in every other method.
func (a *Party) ProcessBundle(remote Address, b *Bundle, now time.Time) error {
	return a.peer.Call("processBundle", request{Party: a.handle, Remote: &remote, Bundle: b, Now: millis(now)}, nil)
}

// Encrypt encrypts one message to remote.
func (a *Party) Encrypt(remote Address, plaintext []byte, now time.Time) (Message, error) {
	return a.SendEncrypt(remote, plaintext, now).Message()
}

// An Encrypted is a message on its way out of the child.
type Encrypted struct{ reply *Reply }

// Message waits for the message.
func (e Encrypted) Message() (m Message, err error) {
	err = e.reply.Wait(&m)
	return m, err
}

// SendEncrypt is Encrypt without the wait.
func (a *Party) SendEncrypt(remote Address, plaintext []byte, now time.Time) Encrypted {
	text := Hex(plaintext)
	return Encrypted{a.peer.Send("encrypt", request{Party: a.handle, Remote: &remote, Plaintext: &text, Now: millis(now)})}
}

// EncryptBatch encrypts messages one after the other, and none after the first
// that fails.
func (a *Party) EncryptBatch(remote Address, plaintexts [][]byte, now time.Time) ([]Message, error) {
	in := request{Party: a.handle, Remote: &remote, Now: millis(now), Plaintexts: make([]Hex, len(plaintexts))}
	for i, text := range plaintexts {
		in.Plaintexts[i] = text
	}
	var out struct{ Messages []Message }
	err := a.peer.Call("encryptBatch", in, &out)
	return out.Messages, err
}

// Decrypt decrypts one message from remote. On error nothing was stored.
func (a *Party) Decrypt(remote Address, m Message) ([]byte, error) {
	return a.SendDecrypt(remote, m).Plaintext()
}

// A Decrypted is a plaintext on its way out of the child.
type Decrypted struct{ reply *Reply }

// Plaintext waits for the plaintext.
func (d Decrypted) Plaintext() ([]byte, error) {
	var out struct{ Plaintext Hex }
	err := d.reply.Wait(&out)
	return out.Plaintext, err
}

// SendDecrypt is Decrypt without the wait.
func (a *Party) SendDecrypt(remote Address, m Message) Decrypted {
	return Decrypted{a.peer.Send("decrypt", request{Party: a.handle, Remote: &remote, Message: &m})}
}

// Session returns the serialised session record for remote, nil if there is none.
func (a *Party) Session(remote Address) ([]byte, error) {
	var out struct{ Record Hex }
	err := a.peer.Call("getSession", request{Party: a.handle, Remote: &remote}, &out)
	return out.Record, err
}

// SetSession replaces the session record for remote; nil deletes it.
func (a *Party) SetSession(remote Address, record []byte) error {
	in := request{Party: a.handle, Remote: &remote}
	if record != nil {
		in.Record = (*Hex)(&record)
	}
	return a.peer.Call("setSession", in, nil)
}

// HasSession says whether there is a session record for remote, and whether its
// current session can be sent on.
func (a *Party) HasSession(remote Address, now time.Time) (exists, usable bool, err error) {
	var out struct{ Exists, Usable bool }
	err = a.peer.Call("hasSession", request{Party: a.handle, Remote: &remote, Now: millis(now)}, &out)
	return out.Exists, out.Usable, err
}

// Archive moves the current session for remote to the archived ones.
func (a *Party) Archive(remote Address) error {
	return a.peer.Call("archive", request{Party: a.handle, Remote: &remote}, nil)
}

// RatchetKeyMatches says whether the current session sends under this ratchet key.
func (a *Party) RatchetKeyMatches(remote Address, key []byte) (bool, error) {
	var out struct{ Valid bool }
	err := a.peer.Call("ratchetKeyMatches", request{Party: a.handle, Remote: &remote, Key: key}, &out)
	return out.Valid, err
}

// SetIdentity accepts key as the identity of remote, in place of any other; nil
// forgets the identity.
func (a *Party) SetIdentity(remote Address, key []byte) error {
	return a.peer.Call("setIdentity", request{Party: a.handle, Remote: &remote, Key: key}, nil)
}

// IdentityOf returns the identity that is kept for remote, nil if there is none.
func (a *Party) IdentityOf(remote Address) ([]byte, error) {
	var out struct{ Key Hex }
	err := a.peer.Call("getIdentity", request{Party: a.handle, Remote: &remote}, &out)
	return out.Key, err
}

// SetTrust sets what the identity store says of keys: "tofu" (the default), "any"
// or "none".
func (a *Party) SetTrust(trust string) error {
	return a.peer.Call("setTrust", request{Party: a.handle, Trust: trust}, nil)
}

// A StoreCall is one call that the official library made into a store.
type StoreCall struct {
	Call     string // for instance saveIdentity
	Address  string // name.device
	Key      Hex    // identity key
	KeyID    uint32
	Replaced bool // saveIdentity
	Sending  bool // isTrustedIdentity
	Trusted  bool
}

// TakeLog returns the store calls since the last time, of a party made with Log.
func (a *Party) TakeLog() ([]StoreCall, error) {
	var out struct{ Calls []StoreCall }
	err := a.peer.Call("takeLog", request{Party: a.handle}, &out)
	return out.Calls, err
}

// A Dump is everything that a party's stores hold, keyed by name.device or id.
type Dump struct {
	Sessions, Identities                 map[string]Hex
	PreKeys, SignedPreKeys, KyberPreKeys map[string]Hex
	LastResort                           []uint32
	Used                                 []string // KEM id, signed id, base key
	SenderKeys                           map[string]Hex
}

// Dump returns what the stores hold.
func (a *Party) Dump() (*Dump, error) {
	out := new(Dump)
	return out, a.peer.Call("dump", request{Party: a.handle}, out)
}

// Drop forgets the party. Its methods then fail.
func (a *Party) Drop() error {
	return a.peer.Call("dropParty", request{Party: a.handle}, nil)
}

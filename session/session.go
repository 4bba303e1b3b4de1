// Package session has the front door of gembok: a [Device] keeps the sessions
// of one device of one account with all its peers, over a keystore.Store.
//
// Every operation is one Load, computing on values, and one Commit of all
// that changed; what it only relied on rides along as an expectation. An
// operation that fails changes nothing. Ciphertext leaves after the commit.
//
// The rules are those of wire-core, Sections 9 and 10, and of the texts "The
// PQXDH Key Agreement Protocol" (Revision 3), "The Double Ratchet Algorithm"
// (Revision 4) and "The Sesame Algorithm" (Revision 2).
//
// # Where to begin
//
// Create or Open a Device, upload what Publish returns, and call Upkeep when Due
// says so. An app with users gives Options a [Directory], and goes by users:
//
//   - Send encrypts for all their devices; Reconcile does what the server says is
//     missing, and Accept says that it took the rest.
//   - Decrypt reads, and Acknowledge says that the app has saved it.
//   - RequestRetry asks for what could not be read, and Resend answers.
//   - Timer says when messages disappear, and MarkRead that their time begins.
//   - AcceptIdentity, Verify, Block, Rename and Forget are what people decide;
//     Events and Received.Events tell them of what happened.
//   - GenerateLink and Link give the account another device.
//
// Begin and Encrypt are for one device at a time, Update for what must be true
// together.
//
// # Transactions of the app
//
// Where a store joins a transaction of the app's own (package sqlstore), the
// app decides what becomes of an operation. What it made to be sent or uploaded
// stays empty until keystore.Pending.Committed; a plaintext is there at once, to
// be saved in the same transaction, and comes again if that is rolled back. An
// operation that lost a race returns the keystore.ConflictError, and whether the
// transaction can go on is for the store to say.
//
// # Memory
//
// Keys are overwritten when they are used up, and what replaced them when it is
// replaced; Go makes copies, and garbage keeps them until it is used again. A
// program built with GOEXPERIMENT=runtimesecret, for Linux on amd64 or arm64,
// has none of these: an operation erases its registers and stack at its end, and
// what it allocated once that is collected. What a store's own goroutines and
// files keep stays, and what the app was given.
//
// # Divergences
//
//   - A session whose remote identity key is not the accepted one decrypts and
//     never becomes the one for sending. Deployed peers ask a store, which may
//     answer either way.
//   - Sessions that hold the message's ratchet key are tried first, and if one
//     does, no other (wire-core, Section 9.4 tries the current one first). The
//     outcome is the same, the cost of a hostile message smaller.
//   - A matched prekey message must come from the session's identity key, as
//     release 0.103 has it and 0.101 has not.
//   - Archived sessions that do not decode are passed over everywhere.
package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// maxRegistrationID is the largest that fits the 14 bits a service keeps.
const maxRegistrationID = 16380

// Options are a Device's policies. The zero value, like nil, is the defaults.
type Options struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// PromoteOnlyNewer keeps a message on an archived session from making it
	// the one for sending again: only a session that is begun anew, or under an
	// identity key that is accepted now, becomes that. Archived ones still
	// decrypt. Two devices that both have it, and began with each other at once,
	// stay on two sessions, which their archives drop after 30 days.
	PromoteOnlyNewer bool
	// SelfJump is how far ahead a message between two devices of one account
	// may be; 0 is 100,000. More than that is ErrTooExpensive, unless it is
	// decrypted with DecryptOptions.Deep.
	SelfJump uint32
	// PreKeys says how many prekeys there are, and for how long.
	PreKeys PreKeyPolicy
	// Content says what a plaintext is: bytes that are the app's alone, or with
	// Content true an encoded Content, which is padded, so that the length of a
	// message tells little of what is in it. It is for the whole life of a
	// device, and both ends of a conversation have the same. Package group needs it:
	// what it has to tell other devices is a part of a Content.
	Content bool
	// Gate is asked before a message leaves, and sees what arrives; nil is
	// none.
	Gate Gate
	// Restored is called by AfterRestore within its last operation, for what a
	// feature or an app has to renew of its own; nil is nothing. When it returns
	// an error, nothing of that operation was done. As with Update, it may run
	// again, has no side effects and calls no method of the Device. When another
	// process took the device up meanwhile, what it did there counts, and what it
	// did here does not.
	Restored func(*Tx) error
	// Directory is asked for devices and their bundles; nil is none: what needs
	// it fails, device by device.
	Directory Directory
	// RetryFor is how long copies of what Send sent are kept, for those who could
	// not read it: 0 is 14 days, and less than that is not at all. Content of more
	// than 64 KiB is never kept.
	RetryFor time.Duration
	// RetryCopies is how many such copies are kept at most; 0 is 1,000.
	RetryCopies int
}

// An Account is who a new Device is. It may hold a secret, and prints as
// redacted. The zero value has no address, which Create refuses.
type Account struct {
	wire.Secret

	Address Address
	// Identity is the account's identity key pair; nil draws one.
	Identity *keys.IdentityKeyPair
	// RegistrationID is from 1 to 16380; 0 draws one.
	RegistrationID uint32
}

// A Device is one device of one account: its identity, prekeys and sessions.
// Create or Open makes one. It is safe for concurrent use, and holds secrets:
// it prints as redacted.
//
// When CheckGeneration has found that the store was rolled back, its operations
// are keystore.ErrRolledBack and change nothing until AfterRestore, but for those
// that only look or acknowledge: PeerIdentity, Unacknowledged, Acknowledge, MarkRead,
// Events and AcknowledgeEvents.
type Device struct {
	wire.Secret

	store    keystore.Store
	scope    string
	address  Address
	identity *keys.IdentityKeyPair
	regID    uint32
	opts     Options
	locks    locks
	memory   memory
	trimmer  trimmer
	deadline deadline
}

// Create makes a new device in store and returns it. The store stays the
// caller's to close.
//
// Errors: ErrMalformed for an address, ErrRegistrationID, ErrExists when the
// store has a device of this address.
func Create(ctx context.Context, store keystore.Store, a Account, o *Options) (d *Device, err error) {
	erasing(func() { d, err = create(ctx, store, a, o) })
	return d, err
}

func create(ctx context.Context, store keystore.Store, a Account, o *Options) (*Device, error) {
	addr, err := a.Address.canonical()
	if err != nil {
		return nil, err
	}
	if a.Identity == nil {
		a.Identity = keys.GenerateIdentityKeyPair()
	}
	switch {
	case a.RegistrationID == 0:
		a.RegistrationID = drawRegistrationID()
	case a.RegistrationID > maxRegistrationID:
		return nil, fmt.Errorf("%w: %d", ErrRegistrationID, a.RegistrationID)
	}
	d := newDevice(store, addr, o)
	d.identity, d.regID = a.Identity, a.RegistrationID
	self := wire.Self{
		Identity: identityRecord(a.Identity), RegistrationID: a.RegistrationID, User: addr.User, Device: addr.Device,
	}
	err = d.run(ctx, "", func(t *Tx) error {
		t.always = true
		k := d.key(kindSelf, ownOwner, "")
		if err := t.load(k); err != nil {
			return err
		}
		if t.has(k) {
			return ErrExists
		}
		t.put(k, wire.AppendSelf(nil, &self))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Open returns the device of an address that Create made in store.
//
// Errors: ErrMalformed for an address, ErrNoDevice, keystore.ErrNewerFormat,
// ErrCorrupt.
func Open(ctx context.Context, store keystore.Store, a Address, o *Options) (d *Device, err error) {
	erasing(func() { d, err = open(ctx, store, a, o) })
	return d, err
}

func open(ctx context.Context, store keystore.Store, a Address, o *Options) (*Device, error) {
	addr, err := a.canonical()
	if err != nil {
		return nil, err
	}
	d := newDevice(store, addr, o)
	t := d.begin(ctx)
	t.always = true
	k := d.key(kindSelf, ownOwner, "")
	if err := t.load(k); err != nil {
		return nil, err
	}
	body, ok, err := t.get(k)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNoDevice
	}
	if err := d.read(body); err != nil {
		return nil, err
	}
	return d, nil
}

// read takes the record "self".
func (d *Device) read(body []byte) error {
	self, err := wire.ParseSelf(body)
	if err != nil || self.User != d.address.User || self.Device != d.address.Device {
		return fmt.Errorf("%w: own record", ErrCorrupt)
	}
	if d.identity, err = identityPair(self.Identity); err != nil {
		return fmt.Errorf("%w: own identity", ErrCorrupt)
	}
	d.regID = self.RegistrationID
	return nil
}

// identityPair reads a record of an identity key pair, whose public key must be
// the right one. Errors are those of the parsers, and keys.ErrKey.
func identityPair(record []byte) (*keys.IdentityKeyPair, error) {
	rec, err := wire.ParseIdentityKeyPairRecord(record)
	if err != nil {
		return nil, err
	}
	pair, err := keys.NewIdentityKeyPair(rec.Private)
	if err == nil && string(pair.Public().Bytes()) != string(rec.Public) {
		err = fmt.Errorf("%w: public key of another private one", keys.ErrKey)
	}
	return pair, err
}

// identityRecord is the record of an identity key pair.
func identityRecord(pair *keys.IdentityKeyPair) []byte {
	return wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{
		Public: pair.Public().Bytes(), Private: pair.PrivateBytes()})
}

func newDevice(store keystore.Store, addr Address, o *Options) *Device {
	d := &Device{store: store, scope: addr.String(), address: addr}
	if o != nil {
		d.opts = *o
	}
	if d.opts.Now == nil {
		d.opts.Now = time.Now
	}
	if d.opts.SelfJump == 0 {
		d.opts.SelfJump = 100000
	}
	return d
}

// Address returns the device's own address, in canonical form.
func (d *Device) Address() Address { return d.address }

// Identity returns the device's own identity key.
func (d *Device) Identity() keys.IdentityKey { return d.identity.Public() }

// IdentityKeyPair returns the device's own identity key pair, for what is done
// with it beside sessions, such as package sealed.
func (d *Device) IdentityKeyPair() *keys.IdentityKeyPair { return d.identity }

// ContentMode reports whether plaintexts are Contents: Options.Content.
func (d *Device) ContentMode() bool { return d.opts.Content }

// RegistrationID returns the device's registration id.
func (d *Device) RegistrationID() uint32 { return d.regID }

// now returns milliseconds since 1970; 1 for a clock before that, since in
// records 0 is no time.
func (d *Device) now() uint64 { return uint64(max(1, d.opts.Now().UnixMilli())) }

// drawRegistrationID returns 1 to 16380. Of 2^32 values, the bias is 2^−18.
func drawRegistrationID() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])%maxRegistrationID + 1
}

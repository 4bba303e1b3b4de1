package session

import (
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	// linkTime is how long a new device waits for its identity, and an old one
	// remembers a code.
	linkTime = 10 * time.Minute
	// maxLinks is how many codes are used in that time at most: more devices than
	// an account has.
	maxLinks = 128
	linkInfo = "gembok/link/1"
	// linkPrefix begins a code, linkSum is the length of its checksum in bytes.
	linkPrefix = "GEMBOK-LINK-1:"
	linkSum    = 4
	// maxSealed bounds what Link.Open looks at, in bytes: a Link, 1,120 bytes of
	// encapsulated key, 16 of a tag.
	maxSealed = wire.MaxLink + 2<<10
)

// linkAlphabet is without the digits that look like letters, and all in the
// alphanumeric mode of a QR code.
var linkAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// A Link is a new device that waits for the identity of its account, which a
// device that has it gives with Device.Link (gembok, Section 6). GenerateLink
// makes one. It is safe for concurrent use, holds a secret, and prints as
// redacted. The zero value waits for nothing: Open is ErrLink.
//
// The new device shows Code, and hands PublicKey to the app's server. The user
// has an old device take the code, which holds it against the public key that
// came through the server, and what it seals goes back the same way. So the
// server sees neither the identity, nor can it get it with a key of its own.
//
// What it could do is seal an identity of its own making: the new device would
// belong to an account of that server's. The old device has no session with
// such a one, for its identity is another; an app that wants to know at once
// has the user compare Device.Identity, or what the app shows for it, on both.
type Link struct {
	wire.Secret

	address Address
	public  []byte
	made    uint64
	now     func() uint64

	mu      sync.Mutex
	private hpke.PrivateKey // nil: it was opened
}

// GenerateLink draws the key pair of a new device of an account: the user is
// the account's, the device one that it does not have. Of the options, only the
// clock counts; nil is time.Now. The error is ErrMalformed for an address.
func GenerateLink(a Address, o *Options) (l *Link, err error) {
	addr, err := a.canonical()
	if err != nil {
		return nil, err
	}
	d := newDevice(nil, addr, o)
	l = &Link{address: addr, made: d.now(), now: d.now}
	erasing(func() { l.private, err = hpke.MLKEM768X25519().GenerateKey() })
	if err != nil {
		return nil, fmt.Errorf("session: link: %w", err)
	}
	l.public = l.private.PublicKey().Bytes()
	return l, nil
}

// PublicKey returns the public key that Device.Link wants, 1,216 bytes. It is
// no secret.
func (l *Link) PublicKey() []byte { return slices.Clone(l.public) }

// Code returns the code that the new device shows, as text or in a QR code. It
// is no secret, but names the account:
//
//	"GEMBOK-LINK-1:" ‖ base32(hash ‖ device ‖ user ‖ sum)
//
//	hash    32 bytes: SHA-256 of the public key
//	device  1 byte: its number
//	user    1 to 1,024 bytes
//	sum     4 bytes: the first ones of SHA-256 of all before it, as above but
//	        not in base32, against slips of the hand
//
// Base32 is that of RFC 4648 without padding: A to Z and 2 to 7. So a code is of
// capitals, digits, dashes and a colon, which a QR code holds in its alphanumeric
// mode, and has 131 characters for a user name of 36 bytes.
func (l *Link) Code() string {
	hash := sha256.Sum256(l.public)
	b := append(hash[:], byte(l.address.Device))
	b = append(b, l.address.User...)
	return linkPrefix + linkAlphabet.EncodeToString(append(b, sumOfLink(b)...))
}

func sumOfLink(b []byte) []byte {
	sum := sha256.Sum256(append([]byte(linkPrefix), b...))
	return sum[:linkSum]
}

// parseLinkCode reads a code: the hash of the public key, and the address.
func parseLinkCode(code string) (hash []byte, to Address, err error) {
	text, ok := strings.CutPrefix(code, linkPrefix)
	if !ok || len(text) > 2*maxUser {
		return nil, to, fmt.Errorf("%w: no link code", ErrMalformed)
	}
	b, err := linkAlphabet.DecodeString(text)
	if err != nil || linkAlphabet.EncodeToString(b) != text { // it passes over line ends, and spare bits
		return nil, to, fmt.Errorf("%w: letters of a link code", ErrMalformed)
	}
	n := len(b) - linkSum
	if n < sha256.Size+1 || string(sumOfLink(b[:n])) != string(b[n:]) {
		return nil, to, fmt.Errorf("%w: checksum of a link code", ErrMalformed)
	}
	to = Address{User: string(b[sha256.Size+1 : n]), Device: uint32(b[sha256.Size])}
	to, err = to.canonical()
	return b[:sha256.Size], to, err
}

// Open returns the account that an old device sealed for this one: what Create
// makes the new device of. It does so once, within 10 minutes.
//
// Errors: ErrLink; ErrTooLarge; ErrAuth for what is not sealed for this Link;
// ErrVersion, ErrMalformed, and keys.ErrKey for what is, and holds no identity
// for this address. After an error it can be tried again.
func (l *Link) Open(sealed []byte) (a Account, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.private == nil || !recent(l.made, l.now()) {
		return Account{}, ErrLink
	}
	erasing(func() { a, err = l.open(sealed) })
	if err != nil {
		return Account{}, err
	}
	l.private = nil
	return a, nil
}

// open is Open on a key that is there.
func (l *Link) open(sealed []byte) (Account, error) {
	if len(sealed) > maxSealed {
		return Account{}, fmt.Errorf("%w: sealed identity of %d bytes", ErrTooLarge, len(sealed))
	}
	plaintext, err := hpke.Open(l.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(linkInfo), sealed)
	if err != nil {
		return Account{}, fmt.Errorf("%w: sealed identity", ErrAuth)
	}
	defer clear(plaintext)
	in, err := wire.ParseLink(plaintext)
	if err != nil {
		return Account{}, err
	}
	if in.User != l.address.User || in.Device != l.address.Device {
		return Account{}, fmt.Errorf("%w: identity for another device", ErrMalformed)
	}
	pair, err := identityPair(in.Identity)
	if err != nil {
		return Account{}, err
	}
	return Account{Address: l.address, Identity: pair}, nil
}

// recent reports whether a time is not over 10 minutes ago; one to come is not.
func recent(at, now uint64) bool { return now-min(at, now) <= milli(linkTime) }

// Link seals the account's identity for a new device: code is what that shows,
// publicKey what came from it through the server. The result goes back the same
// way, to Link.Open. The user must have meant to: whoever can open it is the
// account from then on.
//
// A code is good for once: it is remembered for 10 minutes, after which the new
// device opens nothing any more. More than 128 codes in that time are ErrLink,
// too.
//
// Errors: ErrMalformed for a code, and one of another account; ErrAuth for
// another public key than the code is of; ErrExists for a device that the
// account has, as far as this one knows; DirectoryError where the Directory does
// not say what the account's manifest is, or says what is none; ErrHosted where
// by that manifest somebody else keeps the new device's key; that of the gate, which
// is asked as before a message to the new device; ErrLink;
// ErrCorrupt; keystore.ErrInvalid in a context that has a keystore.Pending. After
// an error nothing leaves, and the state is as before, but for
// keystore.ErrCommitUnknown, after which the code may count as used.
func (d *Device) Link(ctx context.Context, code string, publicKey []byte) (sealed []byte, err error) {
	if joined(ctx) { // what is sealed must not outlive a rollback
		return nil, fmt.Errorf("%w: link in a transaction of the app's", keystore.ErrInvalid)
	}
	hash, to, err := parseLinkCode(code)
	if err != nil {
		return nil, err
	}
	switch {
	case to.User != d.address.User:
		return nil, fmt.Errorf("%w: link code of another account", ErrMalformed)
	case to.Device == d.address.Device:
		return nil, ErrExists
	}
	if err := d.ownerKeeps(ctx, to.Device); err != nil {
		return nil, err
	}
	erasing(func() { sealed, err = d.seal(hash, to, publicKey) })
	if err != nil {
		return nil, err
	}
	if err := d.run(ctx, "", func(t *Tx) error { return t.useLink(hash, to) }); err != nil {
		return nil, err
	}
	return sealed, nil
}

// seal seals the identity for the device whose public key has this hash.
func (d *Device) seal(hash []byte, to Address, publicKey []byte) ([]byte, error) {
	if sum := sha256.Sum256(publicKey); string(sum[:]) != string(hash) {
		return nil, fmt.Errorf("%w: public key of another device", ErrAuth)
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(publicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: public key", ErrMalformed)
	}
	record := identityRecord(d.identity)
	defer clear(record)
	plaintext := wire.AppendLink(nil, &wire.Link{User: to.User, Device: to.Device, Identity: record})
	defer clear(plaintext)
	sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(linkInfo), plaintext)
	if err != nil {
		return nil, fmt.Errorf("%w: public key", ErrMalformed)
	}
	return sealed, nil
}

// useLink notes that a code is used, for a device that the account does not
// have, and drops what was noted long enough ago.
func (t *Tx) useLink(hash []byte, to Address) error {
	k, peer, now := t.d.linkKey(), t.d.peerKey(to), t.d.now()
	if err := t.load(t.withGateKeys([]keystore.Key{k, peer}, to.User)...); err != nil {
		return err
	}
	if err := t.unlisted(peer, to.Device); err != nil {
		return err
	}
	if err := t.mayTransmit(to, keys.IdentityKey{}); err != nil { // the device has none yet
		return err
	}
	body, _, err := t.get(k)
	if err != nil {
		return err
	}
	links, err := wire.ParseLinks(body)
	if err != nil {
		return corrupt(err)
	}
	links.Used = slices.DeleteFunc(links.Used, func(u wire.UsedLink) bool { return !recent(u.At, now) })
	used := slices.ContainsFunc(links.Used, func(u wire.UsedLink) bool { return string(u.Hash) == string(hash) })
	if used || len(links.Used) >= maxLinks {
		return ErrLink
	}
	links.Used = append(links.Used, wire.UsedLink{Hash: hash, At: now})
	t.put(k, wire.AppendLinks(nil, &links))
	t.check(peer)
	return nil
}

// unlisted refuses a device that is listed in the account's record "peer".
func (t *Tx) unlisted(peer keystore.Key, device uint32) error {
	body, _, err := t.get(peer)
	if err != nil {
		return err
	}
	list, err := wire.ParsePeer(body)
	if err != nil {
		return corrupt(err)
	}
	if slices.ContainsFunc(list.Devices, func(p wire.PeerDevice) bool { return p.ID == device && p.StaleSince == 0 }) {
		return ErrExists
	}
	return nil
}

// ownerKeeps refuses a device whose key, by the manifest of the account, is not
// kept by its owner. The signatures are not verified: nothing but a refusal
// comes of a manifest here.
func (d *Device) ownerKeeps(ctx context.Context, device uint32) error {
	m, err := d.ownManifest(ctx)
	if err != nil {
		return &DirectoryError{User: d.address.User, Err: err}
	}
	if m != nil && slices.ContainsFunc(m.Endpoints, func(e wire.ManifestEndpoint) bool { return e.Device == device && e.Controller.Hosted() }) {
		return ErrHosted
	}
	return nil
}

// ownManifest asks the Directory for the account's manifest; nil is none.
func (d *Device) ownManifest(ctx context.Context) (*wire.Manifest, error) {
	signed, err := d.askManifest(ctx)
	if err != nil || len(signed) == 0 {
		return nil, err
	}
	_, m, err := wire.ParseSignedManifest(signed)
	if err == nil && m.Account != d.address.User {
		err = fmt.Errorf("%w: manifest of another account", ErrMalformed)
	}
	return m, err
}

func (d *Device) askManifest(ctx context.Context) (signed []byte, err error) {
	if d.opts.Directory == nil {
		return nil, errNoDirectory
	}
	defer func() {
		if recover() != nil {
			signed, err = nil, errPanicked
		}
	}()
	return d.opts.Directory.Manifest(ctx, d.address.User)
}

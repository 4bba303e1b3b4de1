package hosting

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Controller says who holds the private key of an endpoint. The zero value is
// nobody.
type Controller uint8

const (
	// Person is a person's own device.
	Person Controller = 1 + iota
	// OwnerDevice is a phone or PC of the business itself.
	OwnerDevice
	// OwnerServer is a server of the business itself.
	OwnerServer
	// HostedByProvider is a third party.
	HostedByProvider
	// HostedByPlatform is the operator of the chat service, or its parent.
	HostedByPlatform
)

// Hosted reports whether somebody else than the owner of the account has the key.
func (c Controller) Hosted() bool { return c >= HostedByProvider }

// A Kind says what an account is, which is not who has its keys. The zero value
// is none.
type Kind uint8

const (
	// KindPerson is a person.
	KindPerson Kind = 1 + iota
	// KindBusiness is a business.
	KindBusiness
	// KindService is a service, such as a bot.
	KindService
)

// A Storage says where messages are kept after delivery. The zero value is none.
type Storage uint8

const (
	// StorageNone is nowhere but on devices.
	StorageNone Storage = 1 + iota
	// StorageOwner is with the owner of the account.
	StorageOwner
	// StorageProvider is with the provider.
	StorageProvider
)

// Readers are those who read what arrives at an endpoint. The zero value is
// nobody but who has the device.
type Readers struct{ Staff, Automation, AI, Subprocessors bool }

// Uses are what messages are used for. The zero value is nothing but the chat.
type Uses struct{ Service, OwnMarketing, PlatformAdvertising, Training bool }

// A Provider is who hosts an endpoint. The zero value is nobody.
type Provider struct {
	Name   string // as it is shown: NFC, at most 64 runes, no invisible ones
	Domain string // lower-case ASCII, shown beside the name
	// Key signs, under labels, that it operates an endpoint. It is an identity key
	// because those sign nothing without a label.
	Key keys.IdentityKey
}

// An Endpoint is one device of an account. The zero value is none.
type Endpoint struct {
	Device     uint32           // 1 to 127
	Identity   keys.IdentityKey // the key that sessions with the device use
	Controller Controller
	Provider   *Provider // of a hosted endpoint, and no other one
	Storage    Storage
	Region     string // where messages are stored; may be empty
	Readers    Readers
	Uses       Uses
	// NotAfter is until when the signatures below hold, in whole seconds; at most
	// 400 days.
	NotAfter time.Time
	// Signature and ProviderSignature have 64 bytes; Accept and Operate make them.
	// They are not part of what the account signs.
	Signature, ProviderSignature []byte
}

// A Manifest is what an account states of all its endpoints. It is not changed
// once it is signed or parsed, and then safe for concurrent use. The zero value
// is none.
type Manifest struct {
	Account   string // the user's name, 1 to 64 bytes
	Kind      Kind
	Epoch     uint64    // from 1, more each time
	NotBefore time.Time // whole seconds
	NotAfter  time.Time // at most 30 days later, and not after any endpoint's
	Previous  [32]byte  // Hash of the one before; at epoch 1 zero
	Endpoints []Endpoint
	Key       keys.IdentityKey // of the account; Sign sets it
	Signature []byte           // 64 bytes
}

// Hash returns the SHA-256 of what the account signs.
func (m *Manifest) Hash() [32]byte { return sha256.Sum256(m.signed()) }

// Bytes returns the encoding of m with its signatures, which Parse reads.
func (m *Manifest) Bytes() []byte {
	s := &wire.SignedManifest{Manifest: m.signed(), Signature: m.Signature}
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		s.Signatures = append(s.Signatures, wire.ManifestEndpointSigs{Endpoint: e.Signature, Provider: e.ProviderSignature})
	}
	return wire.AppendSignedManifest(nil, s)
}

// hosted reports whether somebody else than the owner has a key of m.
func (m *Manifest) hosted() bool {
	return slices.ContainsFunc(m.Endpoints, func(e Endpoint) bool { return e.Controller.Hosted() })
}

// outside reports whether somebody else than the owner has a key of m, or stores
// messages.
func (m *Manifest) outside() bool {
	return slices.ContainsFunc(m.Endpoints, func(e Endpoint) bool { return e.Controller.Hosted() || e.Storage == StorageProvider })
}

// endpoint returns that of a device, or nil.
func (m *Manifest) endpoint(device uint32) *Endpoint {
	for i := range m.Endpoints {
		if m.Endpoints[i].Device == device {
			return &m.Endpoints[i]
		}
	}
	return nil
}

// lists reports whether m has a device, with the given identity key unless that is
// zero.
func (m *Manifest) lists(device uint32, identity keys.IdentityKey) bool {
	e := m.endpoint(device)
	return e != nil && (identity.IsZero() || identity == e.Identity)
}

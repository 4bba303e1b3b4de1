package hosting

import (
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// lastSecond is the end of the year 9999, in seconds since 1970.
const lastSecond = 253_402_300_799

// Parse reads a signed manifest of at most 8 KiB. Nothing of it is to be believed
// before Verify, nor is b changed or kept.
//
// Errors are session.ErrTooLarge and session.ErrMalformed, the latter also for an
// encoding of the manifest that is not the canonical one.
func Parse(b []byte) (*Manifest, error) {
	s, w, err := wire.ParseSignedManifest(b)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Account: w.Account, Kind: Kind(w.Kind), Epoch: w.Epoch, Signature: append([]byte(nil), s.Signature...),
		Endpoints: make([]Endpoint, len(w.Endpoints)),
	}
	copy(m.Previous[:], w.Previous)
	r := reader{}
	m.NotBefore, m.NotAfter, m.Key = r.time(w.NotBefore), r.time(w.NotAfter), r.key(w.Key)
	for i := range w.Endpoints {
		m.Endpoints[i] = r.endpoint(&w.Endpoints[i], &s.Signatures[i])
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

// clone returns a copy of m, which was parsed, for somebody who may change it.
func (m *Manifest) clone() *Manifest {
	out, err := Parse(m.Bytes())
	if err != nil {
		panic("hosting: internal error: " + err.Error()) // it was read from such bytes
	}
	return out
}

// A reader keeps the first error.
type reader struct{ err error }

func (r *reader) endpoint(w *wire.ManifestEndpoint, s *wire.ManifestEndpointSigs) Endpoint {
	e := Endpoint{
		Device: w.Device, Identity: r.key(w.Identity), Controller: Controller(w.Controller), Storage: Storage(w.Storage),
		Region: w.Region, Readers: readersOf(w.Readers), Uses: usesOf(w.Uses), NotAfter: r.time(w.NotAfter),
		Signature: append([]byte(nil), s.Endpoint...), ProviderSignature: append([]byte(nil), s.Provider...),
	}
	if p := w.Provider; p != nil {
		e.Provider = &Provider{Name: p.Name, Domain: p.Domain, Key: r.key(p.Key)}
	}
	return e
}

func (r *reader) time(seconds uint64) time.Time {
	if seconds > lastSecond {
		r.err = fmt.Errorf("%w: time in a manifest", wire.ErrMalformed)
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// key reads a key that signs: in range, and not of small order.
func (r *reader) key(b []byte) keys.IdentityKey {
	_, err := keys.ParseVerifyKey(b)
	if err != nil {
		r.err = fmt.Errorf("%w: key in a manifest: %w", wire.ErrMalformed, err)
		return keys.IdentityKey{}
	}
	k, _ := keys.ParseIdentityKey(b) // which takes any that the above does
	return k
}

// signed returns the bytes that the account signs.
func (m *Manifest) signed() []byte {
	w := &wire.Manifest{
		Version: 1, Account: m.Account, Kind: uint32(m.Kind), Epoch: m.Epoch,
		NotBefore: seconds(m.NotBefore), NotAfter: seconds(m.NotAfter), Key: m.Key.Bytes(),
	}
	if m.Epoch != 1 {
		w.Previous = m.Previous[:]
	}
	for i := range m.Endpoints {
		w.Endpoints = append(w.Endpoints, m.Endpoints[i].wire())
	}
	return wire.AppendManifest(nil, w)
}

// signed returns the endpoint bytes, of which the endpoint and the provider sign
// the hash.
func (e *Endpoint) signed() []byte {
	w := e.wire()
	return wire.AppendManifestEndpoint(nil, &w)
}

func (e *Endpoint) wire() wire.ManifestEndpoint {
	w := wire.ManifestEndpoint{
		Device: e.Device, Identity: e.Identity.Bytes(), Controller: wire.Controller(e.Controller), Storage: uint32(e.Storage),
		Region: e.Region, Readers: uint32(e.Readers.bits()), Uses: uint32(e.Uses.bits()), NotAfter: seconds(e.NotAfter),
	}
	if p := e.Provider; p != nil {
		w.Provider = &wire.ManifestProvider{Name: p.Name, Domain: p.Domain, Key: p.Key.Bytes()}
	}
	return w
}

// seconds is a time as it is encoded; 0, which none is, for one before 1970.
func seconds(t time.Time) uint64 { return uint64(max(0, t.Unix())) }

// The bits of Readers and Uses, as they are encoded.

func bit(set bool, b uint8) uint8 {
	if set {
		return b
	}
	return 0
}

func (r Readers) bits() uint8 {
	return bit(r.Staff, 1) | bit(r.Automation, 2) | bit(r.AI, 4) | bit(r.Subprocessors, 8)
}

func readersOf[T uint8 | uint32](b T) Readers {
	return Readers{Staff: b&1 != 0, Automation: b&2 != 0, AI: b&4 != 0, Subprocessors: b&8 != 0}
}

func (u Uses) bits() uint8 {
	return bit(u.Service, 1) | bit(u.OwnMarketing, 2) | bit(u.PlatformAdvertising, 4) | bit(u.Training, 8)
}

func usesOf[T uint8 | uint32](b T) Uses {
	return Uses{Service: b&1 != 0, OwnMarketing: b&2 != 0, PlatformAdvertising: b&4 != 0, Training: b&8 != 0}
}

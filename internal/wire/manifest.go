package wire

import (
	"bytes"
	"fmt"
	"slices"
)

// Limits of a hosting manifest (spec/gembok.md, Section 4).
const (
	MaxManifest  = 8 << 10 // bytes of a signed one
	maxEndpoints = 32
	maxAccountID = 64
	maxValidity  = 30 * 24 * 60 * 60 // seconds
)

// A Controller says who has the key of an endpoint.
type Controller uint32

// The controllers.
const (
	ControllerPerson Controller = 1 + iota
	ControllerOwnerDevice
	ControllerOwnerServer
	ControllerProvider
	ControllerPlatform
)

// Hosted reports whether somebody else than the owner has the key.
func (c Controller) Hosted() bool { return c == ControllerProvider || c == ControllerPlatform }

// A SignedManifest is a manifest and its signatures, none of which is verified
// here. It is not signed itself: unknown fields are skipped. None comes twice, so
// that all who read it read the same.
type SignedManifest struct {
	Manifest   []byte                 // 1: as it is signed and hashed
	Signature  []byte                 // 3, 64 bytes: of the account
	Signatures []ManifestEndpointSigs // 4: in the order of the endpoints
}

// ManifestEndpointSigs are the signatures over one endpoint.
type ManifestEndpointSigs struct {
	Endpoint []byte // 1, 64 bytes
	Provider []byte // 2, 64 bytes, or none
}

// A Manifest says who has the keys of an account. It is canonical.
type Manifest struct {
	Version   uint32             // 1: is 1
	Account   string             // 2: 1 to 64 bytes
	Kind      uint32             // 3: 1 to 3
	Epoch     uint64             // 4: from 1
	NotBefore uint64             // 5: seconds since 1970
	NotAfter  uint64             // 6: at most 30 days later, and not after any endpoint's
	Previous  []byte             // 7, 32 bytes: hash of the one before; none at epoch 1
	Endpoints []ManifestEndpoint // 8: 1 to 32, by device
	Key       []byte             // 9, 33 bytes: of the account
}

// A ManifestEndpoint is one device of an account.
type ManifestEndpoint struct {
	Device     uint32            // 1: 1 to MaxDeviceID
	Identity   []byte            // 2, 33 bytes
	Controller Controller        // 3
	Provider   *ManifestProvider // 4: of a hosted endpoint, and no other one
	Storage    uint32            // 5: 1 to 3
	Region     string            // 6
	Readers    uint32            // 7: set of 4 bits
	Uses       uint32            // 8: set of 4 bits
	NotAfter   uint64            // 9: seconds since 1970
}

// A ManifestProvider is who hosts an endpoint. What a name may look like is
// not checked here.
type ManifestProvider struct {
	Name   string // 1
	Domain string // 2: printable ASCII, no capitals
	Key    []byte // 3, 33 bytes
}

// ParseSignedManifest reads a signed manifest of at most MaxManifest bytes, and
// the manifest in it. Errors are ErrTooLarge and ErrMalformed.
func ParseSignedManifest(b []byte) (*SignedManifest, *Manifest, error) {
	s, r, f := new(SignedManifest), bounded(b, MaxManifest), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.once(&f, &s.Manifest)
		case 3:
			r.once(&f, &s.Signature)
		case 4:
			if len(s.Signatures) == maxEndpoints {
				r.fail("too many endpoints")
			}
			sigs, err := parseEndpointSigs(r.message(&f))
			r.nested(err)
			s.Signatures = append(s.Signatures, sigs)
		}
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	m, err := ParseManifest(s.Manifest)
	if err == nil {
		err = s.check(m)
	}
	if err != nil {
		return nil, nil, err
	}
	return s, m, nil
}

// once stores a bytes field that does not come again.
func (r *reader) once(f *field, dst *[]byte) {
	if *dst != nil {
		r.fail("field twice")
	}
	r.bytes(f, dst)
}

func parseEndpointSigs(b []byte) (s ManifestEndpointSigs, err error) {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.once(&f, &s.Endpoint)
		case 2:
			r.once(&f, &s.Provider)
		}
	}
	return s, r.err
}

// check sees that there are the signatures that m has to have.
func (s *SignedManifest) check(m *Manifest) error {
	if len(s.Signature) != 64 || len(s.Signatures) != len(m.Endpoints) {
		return fmt.Errorf("%w: signatures of a manifest", ErrMalformed)
	}
	for i, sigs := range s.Signatures {
		want := 0
		if m.Endpoints[i].Provider != nil {
			want = 64
		}
		if len(sigs.Endpoint) != 64 || len(sigs.Provider) != want {
			return fmt.Errorf("%w: signatures of an endpoint", ErrMalformed)
		}
	}
	return nil
}

// AppendSignedManifest appends the encoding of s.
func AppendSignedManifest(dst []byte, s *SignedManifest) []byte {
	dst = appendBytes(dst, 1, s.Manifest)
	dst = appendBytes(dst, 3, s.Signature)
	for _, sigs := range s.Signatures {
		dst = mustLen(dst, 4, sizeBytes(1, len(sigs.Endpoint))+sizeBytes(2, len(sigs.Provider)))
		dst = appendBytes(dst, 1, sigs.Endpoint)
		dst = appendBytes(dst, 2, sigs.Provider)
	}
	return dst
}

// ParseManifest reads a manifest of at most MaxManifest bytes. Bytes that
// AppendManifest would not write are ErrMalformed. Errors are ErrTooLarge and
// ErrMalformed.
func ParseManifest(b []byte) (*Manifest, error) {
	m, r := new(Manifest), bounded(b, MaxManifest)
	m.decode(&r)
	if r.err == nil {
		m.check(&r)
	}
	if r.err == nil && !bytes.Equal(AppendManifest(nil, m), b) {
		r.fail("not canonical")
	}
	return orZero(m, r.err)
}

func (m *Manifest) decode(r *reader) {
	var f field
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &m.Version)
		case 2:
			r.string(&f, &m.Account)
		case 3:
			r.uint32(&f, &m.Kind)
		case 4:
			r.uint64(&f, &m.Epoch)
		case 5:
			r.uint64(&f, &m.NotBefore)
		case 6:
			r.uint64(&f, &m.NotAfter)
		case 7:
			r.bytes(&f, &m.Previous)
		case 8:
			if len(m.Endpoints) == maxEndpoints {
				r.fail("too many endpoints")
			}
			e, err := parseEndpoint(r.message(&f))
			r.nested(err)
			m.Endpoints = append(m.Endpoints, e)
		case 9:
			r.bytes(&f, &m.Key)
		}
	}
}

func parseEndpoint(b []byte) (e ManifestEndpoint, err error) {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &e.Device)
		case 2:
			r.bytes(&f, &e.Identity)
		case 3:
			r.uint32(&f, (*uint32)(&e.Controller))
		case 4:
			e.Provider, err = parseProvider(r.message(&f))
			r.nested(err)
		case 5:
			r.uint32(&f, &e.Storage)
		case 6:
			r.string(&f, &e.Region)
		case 7:
			r.uint32(&f, &e.Readers)
		case 8:
			r.uint32(&f, &e.Uses)
		case 9:
			r.uint64(&f, &e.NotAfter)
		}
	}
	return e, r.err
}

func parseProvider(b []byte) (*ManifestProvider, error) {
	p, r, f := new(ManifestProvider), reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &p.Name)
		case 2:
			r.string(&f, &p.Domain)
		case 3:
			r.bytes(&f, &p.Key)
		}
	}
	return p, r.err
}

// check holds the fields against their ranges and each other.
func (m *Manifest) check(r *reader) {
	hash := 32
	if m.Epoch == 1 {
		hash = 0
	}
	switch {
	case m.Version != 1, m.Account == "", len(m.Account) > maxAccountID, m.Kind < 1, m.Kind > 3, m.Epoch < 1:
		r.fail("head of a manifest")
	case m.NotBefore < 1, m.NotAfter < m.NotBefore, m.NotAfter-m.NotBefore > maxValidity:
		r.fail("validity of a manifest")
	case len(m.Previous) != hash, len(m.Key) != 33, len(m.Endpoints) < 1:
		r.fail("manifest")
	}
	last := uint32(0)
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		if e.Device <= last || e.Device > MaxDeviceID || e.NotAfter < m.NotAfter || !e.valid() {
			r.fail("endpoint")
		}
		last = e.Device
	}
}

func (e *ManifestEndpoint) valid() bool {
	return len(e.Identity) == 33 && e.Controller >= ControllerPerson && e.Controller <= ControllerPlatform &&
		e.Storage >= 1 && e.Storage <= 3 && e.Readers < 1<<4 && e.Uses < 1<<4 &&
		e.Controller.Hosted() == (e.Provider != nil) && (e.Provider == nil || e.Provider.valid())
}

func (p *ManifestProvider) valid() bool {
	odd := func(c rune) bool { return c <= ' ' || c > '~' || 'A' <= c && c <= 'Z' }
	return p.Name != "" && p.Domain != "" && !slices.ContainsFunc([]rune(p.Domain), odd) && len(p.Key) == 33
}

// AppendManifest appends the encoding of m.
func AppendManifest(dst []byte, m *Manifest) []byte {
	dst = appendUint(dst, 1, uint64(m.Version))
	dst = appendString(dst, 2, m.Account)
	dst = appendUint(dst, 3, uint64(m.Kind))
	dst = appendUint(dst, 4, m.Epoch)
	dst = appendUint(dst, 5, m.NotBefore)
	dst = appendUint(dst, 6, m.NotAfter)
	dst = appendBytes(dst, 7, m.Previous)
	for i := range m.Endpoints {
		dst = mustBytes(dst, 8, AppendManifestEndpoint(nil, &m.Endpoints[i]))
	}
	return appendBytes(dst, 9, m.Key)
}

// AppendManifestEndpoint appends the encoding of e, the bytes that are signed.
func AppendManifestEndpoint(dst []byte, e *ManifestEndpoint) []byte {
	dst = appendUint(dst, 1, uint64(e.Device))
	dst = appendBytes(dst, 2, e.Identity)
	dst = appendUint(dst, 3, uint64(e.Controller))
	if p := e.Provider; p != nil {
		dst = mustLen(dst, 4, sizeBytes(1, len(p.Name))+sizeBytes(2, len(p.Domain))+sizeBytes(3, len(p.Key)))
		dst = appendString(dst, 1, p.Name)
		dst = appendString(dst, 2, p.Domain)
		dst = appendBytes(dst, 3, p.Key)
	}
	dst = appendUint(dst, 5, uint64(e.Storage))
	dst = appendString(dst, 6, e.Region)
	dst = appendUint(dst, 7, uint64(e.Readers))
	dst = appendUint(dst, 8, uint64(e.Uses))
	return appendUint(dst, 9, e.NotAfter)
}

package hosting

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// skew is by how much clocks may differ.
const skew = 5 * time.Minute

// Verify returns nil when all signatures of m are good, its time is now by a
// clock that may be off by 5 minutes, and what it says can be: then it is what
// the holder of m.Key states. Whose key that is, and whether there is a newer
// one, is for the caller to know.
//
// Errors: keys.ErrSignature, ErrManifestExpired, ErrSharedKeyAcrossControllers,
// ErrLabelText, and session.ErrMalformed for an endpoint that holds for more than
// 400 days.
func (m *Manifest) Verify(now time.Time) error {
	if err := m.plausible(now); err != nil {
		return err
	}
	return m.authentic()
}

// plausible is Verify without the signatures.
func (m *Manifest) plausible(now time.Time) error {
	if err := m.consistent(); err != nil {
		return err
	}
	if !m.valid(now) {
		return ErrManifestExpired
	}
	for i := range m.Endpoints {
		if m.Endpoints[i].NotAfter.After(now.Add(maxStatement + skew)) {
			return fmt.Errorf("%w: endpoint for more than 400 days", wire.ErrMalformed)
		}
	}
	return nil
}

// valid reports whether now is within the time of m, give or take the skew. That
// of the endpoints is no shorter.
func (m *Manifest) valid(now time.Time) bool {
	return !now.Before(m.NotBefore.Add(-skew)) && !now.After(m.NotAfter.Add(skew))
}

// consistent sees that names can be shown and no key has two controllers.
func (m *Manifest) consistent() error {
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		if err := e.showable(); err != nil {
			return err
		}
		for j := range i {
			if e.shares(&m.Endpoints[j]) {
				return ErrSharedKeyAcrossControllers
			}
		}
	}
	return nil
}

// shares reports whether two endpoints have one key, and different parties hold
// it. A provider holds its own.
func (e *Endpoint) shares(other *Endpoint) bool {
	differ := e.Controller != other.Controller || e.party() != other.party()
	return differ && e.Identity == other.Identity ||
		e.party() != other.party() && (e.operatedBy(other.Identity) || other.operatedBy(e.Identity))
}

func (e *Endpoint) operatedBy(key keys.IdentityKey) bool {
	return e.Provider != nil && e.Provider.Key == key
}

// keepsControllers returns ErrControllerChangedForKey when a key of m had another
// controller in a manifest before. A provider may change its name.
func (m *Manifest) keepsControllers(before *Manifest) error {
	for i := range m.Endpoints {
		for j := range before.Endpoints {
			if m.Endpoints[i].shares(&before.Endpoints[j]) {
				return ErrControllerChangedForKey
			}
		}
	}
	return nil
}

// A check is one signature to verify, under one of the labels.
type check struct {
	key          keys.IdentityKey
	label        string
	message, sig []byte
}

// checks are the signatures of m: one, and one or two of each endpoint.
func (m *Manifest) checks() []check {
	out := []check{{m.Key, labelAccount, m.signed(), m.Signature}}
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		statement := e.statement(m.Account, m.Key)
		out = append(out, check{e.Identity, labelEndpoint, statement, e.Signature})
		if e.Provider != nil {
			out = append(out, check{e.Provider.Key, labelProvider, statement, e.ProviderSignature})
		}
	}
	return out
}

// share is how many signatures are worth a goroutine.
const share = 5

// authentic verifies the signatures, many of them on all cores.
func (m *Manifest) authentic() error {
	checks := m.checks()
	n := min(runtime.GOMAXPROCS(0), max(1, len(checks)/share))
	if n == 1 {
		return verifyAll(checks)
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = verifyAll(checks[i*len(checks)/n : (i+1)*len(checks)/n]) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// verifyAll returns nil when all signatures are good.
func verifyAll(checks []check) error {
	var v verifier
	for i := range checks {
		if err := v.verify(&checks[i]); err != nil {
			return err
		}
	}
	return nil
}

// A verifier verifies signatures, some of them by the same keys. Its buffer has a
// message as it is signed.
type verifier struct {
	keys []verifying
	buf  []byte
}

type verifying struct {
	key    keys.IdentityKey
	verify func(sig, message []byte) error
}

// separator is what a labelled message begins with.
var separator = bytes.Repeat([]byte{0xFF}, 32)

// verify is IdentityKey.Verify for a key that is used again:
//
//	0xFF×32 ‖ label ‖ 0x00 ‖ message
func (v *verifier) verify(c *check) error {
	verify, err := v.of(c.key)
	if err != nil {
		return keys.ErrSignature
	}
	v.buf = append(append(append(append(v.buf[:0], separator...), c.label...), 0), c.message...)
	return verify(c.sig, v.buf)
}

func (v *verifier) of(key keys.IdentityKey) (func(sig, message []byte) error, error) {
	for i := range v.keys {
		if v.keys[i].key == key {
			return v.keys[i].verify, nil
		}
	}
	k, err := keys.ParseVerifyKey(key.Bytes())
	if err != nil {
		return nil, err
	}
	v.keys = append(v.keys, verifying{key, k.Verifier()})
	return v.keys[len(v.keys)-1].verify, nil
}

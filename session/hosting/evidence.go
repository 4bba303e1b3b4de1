package hosting

import (
	"bytes"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// An Evidence shows that an account contradicted itself: two manifests that it
// signed, both of one epoch, or one that is not the next after the other though its
// epoch is. Anybody can verify it, and nobody without the account's key can make
// one. It never changes; the zero value is none.
type Evidence struct{ first, second *Manifest }

// newEvidence puts two manifests in order.
func newEvidence(a, b *Manifest) *Evidence {
	x, y := a.Hash(), b.Hash()
	if a.Epoch > b.Epoch || a.Epoch == b.Epoch && bytes.Compare(x[:], y[:]) > 0 {
		a, b = b, a
	}
	return &Evidence{a, b}
}

// Manifests returns both, the older or else the one with the lower hash first. They
// are the caller's.
func (e *Evidence) Manifests() (first, second *Manifest) { return e.first.clone(), e.second.clone() }

// Bytes returns the encoding, which ParseEvidence reads.
func (e *Evidence) Bytes() []byte {
	return wire.AppendEvidence(nil, &wire.Evidence{First: e.first.Bytes(), Second: e.second.Bytes()})
}

// ParseEvidence reads and verifies an Evidence. When it was made is of no matter,
// nor whether the manifests are out of date.
//
// Errors are those of Parse, keys.ErrSignature, and ErrLabelMismatch for two
// manifests that do not contradict each other, or are not of one account and key.
func ParseEvidence(b []byte) (*Evidence, error) {
	w, err := wire.ParseEvidence(b)
	if err != nil {
		return nil, err
	}
	e := new(Evidence)
	if e.first, err = Parse(w.First); err == nil {
		e.second, err = Parse(w.Second)
	}
	if err == nil {
		err = e.verify()
	}
	if err != nil {
		return nil, err
	}
	return newEvidence(e.first, e.second), nil
}

func (e *Evidence) verify() error {
	if !e.contradicts() {
		return fmt.Errorf("%w: no evidence", ErrLabelMismatch)
	}
	if err := e.first.authentic(); err != nil {
		return err
	}
	return e.second.authentic()
}

// contradicts reports whether both cannot be, whoever signed them.
func (e *Evidence) contradicts() bool {
	a, b := e.first, e.second
	if b.Epoch < a.Epoch {
		a, b = b, a
	}
	fork := a.Epoch == b.Epoch && a.Hash() != b.Hash()
	broken := a.Epoch+1 == b.Epoch && b.Previous != a.Hash()
	return a.Account == b.Account && a.Key == b.Key && (fork || broken)
}

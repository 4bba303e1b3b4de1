package hosting

import (
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Notice is what an event of kind session.LabelNotice tells of an account. The
// zero value tells nothing.
type Notice struct {
	Account    string
	Was, State State
	// From is the manifest that was agreed to or in no need of it, and To the one
	// that was shown; nil is none. Of To the signatures are good. Diff is what
	// changed from the one to the other.
	From, To *Manifest
	Diff     Diff
	// Gap says that manifests in between were not seen.
	Gap bool
	// Timer is that of the message that brought it; nil where there was none.
	Timer *session.Timer
	// Evidence is there when the account contradicted itself.
	Evidence *Evidence
	// Err is what was refused or contested; nil is nothing. For a Device of the event
	// that no manifest lists it is ErrLabelMismatch.
	Err error
	// Own says that this is about the manifest of the own account. Err is then
	// ErrLabelStale where Account says that it saw a newer one than this Device has,
	// whose store may be an old one, and ErrLabelMismatch where it saw another one;
	// with nil this Device took a newer one.
	Own bool
}

// A reason is the number of an error in a note; 0 is none.
type reason uint32

// ownReason marks those that are about the own manifest, in the memory of what was
// told.
const ownReason reason = 1 << 16

// errUnlisted reports a device that the manifest of its account does not list, with
// this key.
var errUnlisted = fmt.Errorf("%w: %w", ErrLabelMismatch, session.ErrNoDevice)

// reasons are the errors by number, from 1. What wraps another one comes behind
// it.
var reasons = []error{
	ErrLabelStripped, ErrLabelStale, ErrLabelMismatch, ErrLabelText, ErrManifestExpired, ErrControllerChangedForKey,
	ErrSharedKeyAcrossControllers, keys.ErrSignature, session.ErrMalformed, session.ErrTooLarge, errUnlisted,
}

func reasonOf(err error) reason {
	for i := len(reasons) - 1; i >= 0; i-- {
		if errors.Is(err, reasons[i]) {
			return reason(i + 1)
		}
	}
	return 0
}

// err is the error of a reason; of one that is not known, ErrLabelMismatch.
func (r reason) err() error {
	switch {
	case r == 0:
		return nil
	case int(r) > len(reasons):
		return ErrLabelMismatch
	}
	return reasons[r-1]
}

// Notice returns what an event tells. Errors are session.ErrMalformed and
// session.ErrTooLarge, also of an event of another kind.
func (g *Gate) Notice(e *session.Event) (*Notice, error) {
	if e == nil || e.Kind != session.LabelNotice {
		return nil, fmt.Errorf("%w: event of another kind", wire.ErrMalformed)
	}
	w, err := wire.ParseLabelNotice(e.Note)
	if err != nil {
		return nil, err
	}
	n := &Notice{Account: e.Address.User, Was: stateOf(w.Was), State: stateOf(w.State), Gap: w.Gap, Own: w.Own, Err: reason(w.Reason).err()}
	if n.Was == "" || n.State == "" {
		return nil, fmt.Errorf("%w: state in a notice", wire.ErrMalformed)
	}
	if t := w.Timer; t != nil {
		n.Timer = &session.Timer{Duration: time.Duration(t.Seconds) * time.Second, Version: t.Version, Sender: e.Address.User}
	}
	if n.From, err = parseSome(w.From); err == nil {
		n.To, err = parseSome(w.To)
	}
	if err == nil && len(w.Evidence) > 0 {
		n.Evidence, err = ParseEvidence(w.Evidence)
	}
	if err != nil {
		return nil, err
	}
	if n.To != nil {
		n.Diff = diff(g.policy.providers, n.From, n.To)
	}
	return n, nil
}

// parseSome is Parse; nothing is nil.
func parseSome(b []byte) (*Manifest, error) {
	if len(b) == 0 {
		return nil, nil
	}
	return Parse(b)
}

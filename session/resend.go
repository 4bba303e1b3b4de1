package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Resend answers a request of another device, of TypePlaintext, with the message
// that it could not read: encrypted again, for this device alone, from the copy
// that Send kept, with its time of sending. When the session that the request is
// about is still the one for sending, that is archived and a new one begun from a
// bundle of the Directory, as where there is none.
//
// Whoever carries messages can make up requests. One does nothing that is not for
// this device, from a device that the message was sent to, and about the ratchet
// key that it was encrypted under last; and no more than one renewal an hour, 300
// answers an hour and 5 for one message come of those of one device.
//
// What keeps this device alone from getting the message stands in the Result:
// UntrustedIdentityError also when its new bundle is under another identity key,
// DirectoryError, ErrNoSession, ErrCorrupt. Nothing changed then.
//
// What comes back is for one device: Reconcile and Accept do not take it.
//
// Errors: ErrMalformed, ErrVersion and ErrTooLarge for bytes that are no request,
// or more than one; ErrNoRetry for one that is not to be answered, with ErrBlocked
// when its user is blocked; that of the gate; those of the store. After an error
// all is as in Encrypt.
func (d *Device) Resend(ctx context.Context, from Address, m *Message) (*Sending, error) {
	r, err := d.resending(from, m)
	if err != nil {
		return nil, err
	}
	out, err := r.attempt(ctx)
	if errors.Is(err, errNeedsBundle) {
		if err = r.fetch(ctx); err == nil {
			out, err = r.attempt(ctx)
		}
	}
	if alone, ok := errors.AsType[*deviceError](err); ok {
		return r.sending(Result{To: r.from, Err: alone.err}), nil
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// errNeedsBundle ends an operation that cannot go on without a bundle; nothing
// was changed.
var errNeedsBundle = errors.New("session: internal error: a bundle is needed")

// A deviceError is why one device does not get a message.
type deviceError struct{ err error }

func (e *deviceError) Error() string { return e.err.Error() }

// A resending is one request on its way through Resend.
type resending struct {
	d      *Device
	from   Address
	dem    wire.DecryptionErrorMessage
	bundle *x3dh.Bundle // fetched when it was needed
	wrote  []byte       // the hint that was put last
}

// resending reads the bytes of a request, before anything is loaded.
func (d *Device) resending(from Address, m *Message) (*resending, error) {
	from, err := from.canonical()
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, fmt.Errorf("%w: no message", ErrMalformed)
	case m.Type != TypePlaintext:
		return nil, fmt.Errorf("%w: message type %d", ErrMalformed, m.Type)
	}
	dem, err := wire.ParsePlaintextContent(m.Bytes)
	switch {
	case err != nil:
		return nil, err
	case dem.Device != d.address.Device:
		return nil, fmt.Errorf("%w: for another device", ErrNoRetry)
	case dem.RatchetKey == nil:
		return nil, fmt.Errorf("%w: for no session", ErrNoRetry)
	}
	if _, err := keys.ParsePublicKey(dem.RatchetKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &resending{d: d, from: from, dem: dem}, nil
}

// fetch gets the bundle that an attempt needs, outside of all locks.
func (r *resending) fetch(ctx context.Context) error {
	if r.d.opts.Directory == nil {
		return &deviceError{ErrNoSession}
	}
	offers, err := r.d.offers(ctx, []Address{r.from})
	if err != nil {
		return err
	}
	o := offers[r.from]
	if r.bundle = o.bundle; o.err != nil {
		return &deviceError{o.err}
	}
	return nil
}

func (r *resending) sending(result Result) *Sending {
	return &Sending{SentAt: moment(r.dem.Timestamp), Results: []Result{result}}
}

// attempt answers the request, in one operation. Those for one message wait for
// each other, since each changes its copy; this lock comes before that of a peer.
func (r *resending) attempt(ctx context.Context) (out *Sending, err error) {
	if !joined(ctx) {
		name := r.d.sentKey(r.dem.Timestamp).Name
		if err := r.d.locks.lock(ctx, name); err != nil {
			return nil, err
		}
		defer r.d.locks.unlock(name)
	}
	err = r.d.run(ctx, r.from.String(), func(t *Tx) error {
		result, err := r.run(t)
		if err != nil {
			return err
		}
		out = withhold(t, r.sending(*result))
		return nil
	})
	return out, err
}

// run encrypts the message again, on records that it loads. What is cheap to
// refuse is refused first.
func (r *resending) run(t *Tx) (*Result, error) {
	d := r.d
	key := d.sentKey(r.dem.Timestamp)
	if err := t.load(append(d.sessionKeys(r.from), key, d.retryKey(r.from))...); err != nil {
		return nil, err
	}
	sent, to, err := r.copy(t, key)
	if err != nil {
		return nil, err
	}
	l, err := t.ledger(r.from)
	if err != nil {
		return nil, err
	}
	known, err := t.roster(r.from.User)
	if err != nil {
		return nil, err
	}
	device := known.device(r.from.Device)
	if device == nil || device.StaleSince != 0 {
		return nil, fmt.Errorf("%w: no device of its user now", ErrNoRetry)
	}
	made, err := r.renew(t, &l, device)
	if err != nil {
		return nil, err
	}
	if err := made.open(); err != nil {
		return nil, alone(err)
	}
	if err := t.mayTransmit(r.from, made.remote); err != nil {
		return nil, err
	}
	content, err := r.content(sent)
	if err != nil {
		return nil, alone(err)
	}
	m, err := made.seal(content)
	if err != nil && made.bundle != nil {
		return nil, &deviceError{&DirectoryError{User: r.from.User, Device: r.from.Device, Err: err}}
	}
	if err != nil {
		return nil, alone(err)
	}
	t.post(made)
	to.Hint, to.Resends = hint(made.current.SenderKey()), to.Resends+1
	t.put(key, wire.AppendSent(nil, sent))
	l.write()
	r.wrote = to.Hint
	if made.bundle != nil {
		device.RegistrationID = made.bundle.RegistrationID
		known.write()
	}
	return &Result{To: r.from, RegistrationID: device.RegistrationID, Message: m}, nil
}

// copy finds what was sent, and what of it concerns the device that asks.
func (r *resending) copy(t *Tx, key keystore.Key) (*wire.Sent, *wire.Recipient, error) {
	sent, ok, err := t.sent(key)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		return nil, nil, fmt.Errorf("%w: unknown message", ErrNoRetry)
	}
	if r.d.opts.outdated(r.dem.Timestamp, sent.Expires, r.d.now()) {
		return nil, nil, fmt.Errorf("%w: copy past its time", ErrNoRetry)
	}
	i := slices.IndexFunc(sent.Recipients, func(to wire.Recipient) bool {
		return to.User == r.from.User && to.Device == r.from.Device
	})
	switch {
	case i < 0:
		return nil, nil, fmt.Errorf("%w: not sent to this device", ErrNoRetry)
	case t.unsure && bytes.Equal(sent.Recipients[i].Hint, r.wrote): // it was done after all, and its message dropped
	case !bytes.Equal(sent.Recipients[i].Hint, hint(r.dem.RatchetKey)):
		return nil, nil, fmt.Errorf("%w: not the ratchet key it was sent under", ErrNoRetry)
	case sent.Recipients[i].Resends >= maxRetries:
		return nil, nil, fmt.Errorf("%w: answered too often", ErrNoRetry)
	}
	return &sent, &sent.Recipients[i], nil
}

// content is what the device gets, which is another one of the own account, or
// not.
func (r *resending) content(sent *wire.Sent) ([]byte, error) {
	content := sent.Content
	if r.from.User == r.d.address.User {
		var err error
		if content, err = r.d.synced(content, sent.SyncTo); err != nil {
			return nil, corrupt(err)
		}
	}
	return r.d.padded(content), nil
}

// renew begins the letter, with the bundle where there is no session to send on or
// where that is the one that failed, and counts the answer.
func (r *resending) renew(t *Tx, l *ledger, device *wire.PeerDevice) (*letter, error) {
	b, err := t.openBook(r.from)
	if err != nil {
		return nil, alone(err)
	}
	s, _ := b.current() // one that does not decode is none
	failed := s != nil && bytes.Equal(s.SenderKey(), r.dem.RatchetKey)
	if err := l.answer(failed); err != nil {
		return nil, err
	}
	if !failed && sends(s, device, l.now) {
		made := t.letter(r.from)
		return &made, nil
	}
	tr, err := t.trust(r.from)
	switch {
	case err != nil:
		return nil, alone(err)
	case !tr.settled():
		return nil, alone(tr.refuse(identityOf(tr.rec.Seen)))
	case r.bundle == nil:
		return nil, errNeedsBundle
	}
	if err := b.archiveCurrent(l.now); err != nil {
		return nil, alone(err)
	}
	b.write()
	made := t.letter(r.from)
	made.bundle = r.bundle
	return &made, nil
}

// sends reports whether a session is one to send on, and with the device that
// there is now.
func sends(s *ratchet.Session, device *wire.PeerDevice, now uint64) bool {
	if s == nil || s.SenderKey() == nil {
		return false
	}
	if remote := s.RemoteRegistrationID(); remote != 0 && remote != device.RegistrationID { // 0 in imported ones
		return false
	}
	pending, unanswered := s.Pending()
	return !unanswered || !stale(pending.Created, now)
}

// alone marks an error that is about one device, and not about the store or the
// whole operation.
func alone(err error) error {
	if _, ok := errors.AsType[*UntrustedIdentityError](err); ok {
		return &deviceError{err}
	}
	for _, e := range []error{ErrNoSession, ErrStale, ErrCorrupt, ErrExhausted, ErrTooLarge, x3dh.ErrSignature, x3dh.ErrZeroAgreement} {
		if errors.Is(err, e) {
			return &deviceError{err}
		}
	}
	return err
}

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
// bundle of the Directory, as where there is none. A request without a ratchet key is
// about what all devices got alike (SendOptions.Shared), and the answer is on the
// session that there is.
//
// Whoever carries messages can make up requests. One does nothing that is not for
// this device, from a device that the message was sent to, and about the ratchet
// key, or none, that it was encrypted under last, for the identity key that is
// accepted still: what went to another one is the app's to send again, to people who
// may have read it; and no more than one renewal an hour, 300 answers an hour and 5
// for one message come of those of one device. The same
// request again, within a day, is answered with the same bytes, and changes
// nothing: an app may have stopped before the answer was on its way. (Answers of
// 256 KiB in all are kept for a device, the newest ones.) One that came too
// early for a renewal may be given again later.
//
// What keeps this device alone from getting the message stands in the Result:
// UntrustedIdentityError also when its new bundle is under another identity key,
// DirectoryError, ErrNoSession, ErrCorrupt. Nothing changed then.
//
// What comes back is for one device: Reconcile and Accept do not take it. It is not
// sealed, whatever the message was; what SendOptions.Seal takes, package sealed's
// func above all, can be called with it.
//
// Errors: ErrMalformed, ErrVersion and ErrTooLarge for bytes that are no request,
// or more than one; ErrNoRetry for one that is not to be answered, with ErrBlocked
// when its user is blocked; that of the gate; those of the store. After an error
// all is as in Send.
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

	inquiry inquiry
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
	case dem.RatchetKey == nil: // of a message to all devices alike
		return &resending{d: d, from: from, dem: dem, inquiry: inquiry{d: d}}, nil
	}
	if _, err := keys.ParsePublicKey(dem.RatchetKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &resending{d: d, from: from, dem: dem, inquiry: inquiry{d: d}}, nil
}

// fetch gets the bundle that an attempt needs, outside of all locks.
func (r *resending) fetch(ctx context.Context) error {
	if r.d.opts.Directory == nil {
		return &deviceError{ErrNoSession}
	}
	peers := []Address{r.from}
	offers, err := r.d.offers(ctx, peers)
	if err != nil {
		return err
	}
	if err := r.inquiry.run(ctx, peers, offers); err != nil {
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

// run encrypts the message again, on records that it loads, or finds the answer
// that was given.
func (r *resending) run(t *Tx) (*Result, error) {
	a, err := r.admit(t)
	if err != nil {
		return nil, err
	}
	if err := a.asks(); err != nil {
		if m := a.ledger.given(r.dem.Timestamp, hint(r.dem.RatchetKey)); m != nil && errors.Is(err, ErrNoRetry) {
			return a.result(m), nil
		}
		return nil, err
	}
	l, err := a.renew()
	if err != nil {
		return nil, err
	}
	m, err := a.seal(l)
	if err != nil {
		return nil, err
	}
	return a.post(l, m), nil
}

// An answer is one attempt at a request that is to be answered.
type answer struct {
	*resending
	t      *Tx
	key    keystore.Key // of the copy
	sent   wire.Sent
	to     *wire.Recipient // what the copy says of the device that asks
	ledger ledger
	user   *roster
	device *wire.PeerDevice // what is known of it

	accepted keys.IdentityKey // its identity key
}

// admit loads the records, and refuses a request that is not to be answered.
func (r *resending) admit(t *Tx) (*answer, error) {
	d := r.d
	a := &answer{resending: r, t: t, key: d.sentKey(r.dem.Timestamp)}
	if err := t.load(append(t.sessionKeys(r.from), a.key, d.retryKey(r.from))...); err != nil {
		return nil, err
	}
	if err := a.copy(); err != nil {
		return nil, err
	}
	var err error
	if a.ledger, err = t.ledger(r.from); err != nil {
		return nil, err
	}
	if a.user, err = t.roster(r.from.User); err != nil {
		return nil, err
	}
	if a.device = a.user.device(r.from.Device); a.device == nil || a.device.StaleSince != 0 {
		return nil, fmt.Errorf("%w: no device of its user now", ErrNoRetry)
	}
	return a, nil
}

// copy finds what was sent, and what of it concerns the device that asks.
func (a *answer) copy() error {
	sent, ok, err := a.t.sent(a.key)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%w: unknown message", ErrNoRetry)
	case a.d.opts.outdated(a.dem.Timestamp, sent.Expires, a.d.now()):
		return fmt.Errorf("%w: copy past its time", ErrNoRetry)
	}
	i := slices.IndexFunc(sent.Recipients, func(to wire.Recipient) bool {
		return to.User == a.from.User && to.Device == a.from.Device
	})
	if i < 0 {
		return fmt.Errorf("%w: not sent to this device", ErrNoRetry)
	}
	a.sent, a.to = sent, &sent.Recipients[i]
	return nil
}

// asks refuses a request that is not about the last message for the device, or
// one too many.
func (a *answer) asks() error {
	tr, err := a.t.trust(a.from)
	asked := sentHint(a.dem.RatchetKey, tr.rec.Accepted)
	a.accepted = tr.acceptedKey()
	switch {
	case err != nil:
		return alone(err)
	case !bytes.Equal(a.to.Hint, asked[:]):
		return fmt.Errorf("%w: not the keys it was sent under", ErrNoRetry)
	case a.to.Resends >= maxRetries:
		return fmt.Errorf("%w: answered too often", ErrNoRetry)
	}
	return nil
}

// renew begins the letter, with the bundle where there is no session to send on or
// where that is the one that failed, and counts the answer.
func (a *answer) renew() (*letter, error) {
	b, err := a.t.openBook(a.from)
	if err != nil {
		return nil, alone(err)
	}
	s, _ := b.current() // one that does not decode is none
	failed := s != nil && a.dem.RatchetKey != nil && bytes.Equal(s.SenderKey(), a.dem.RatchetKey)
	if err := a.ledger.answer(failed); err != nil {
		return nil, err
	}
	if !failed && sends(s, a.device, a.ledger.now) {
		l := a.t.letter(a.from)
		return &l, nil
	}
	tr, err := a.t.trust(a.from)
	switch {
	case err != nil:
		return nil, alone(err)
	case !tr.settled():
		return nil, alone(tr.refuse(identityOf(tr.rec.Seen)))
	case a.bundle == nil:
		return nil, errNeedsBundle
	}
	if err := b.archiveCurrent(a.ledger.now); err != nil {
		return nil, alone(err)
	}
	b.write()
	l := a.t.letter(a.from)
	l.bundle = a.bundle
	return &l, nil
}

// seal encrypts the content for the device, if the gate lets it.
func (a *answer) seal(l *letter) (*Message, error) {
	if err := l.open(); err != nil {
		return nil, alone(err)
	}
	if err := a.inquiry.permit(a.t, a.from, l.remote); err != nil {
		return nil, err
	}
	content, err := a.content()
	if err != nil {
		return nil, alone(err)
	}
	m, err := l.seal(content)
	switch {
	case err == nil:
		return m, nil
	case l.bundle != nil:
		return nil, &deviceError{&DirectoryError{User: a.from.User, Device: a.from.Device, Err: err}}
	}
	return nil, alone(err)
}

// content is what the device gets, which is another one of the own account, or
// not.
func (a *answer) content() ([]byte, error) {
	content := a.sent.Content
	if a.from.User == a.d.address.User {
		var err error
		if content, err = a.d.synced(content, a.sent.SyncTo); err != nil {
			return nil, corrupt(err)
		}
	}
	return a.d.padded(content), nil
}

// post puts what became of the records.
func (a *answer) post(l *letter, m *Message) *Result {
	a.t.post(l)
	a.to.Hint, a.to.Resends = l.hint[:], a.to.Resends+1
	a.t.put(a.key, wire.AppendSent(nil, &a.sent))
	a.ledger.give(a.dem.Timestamp, hint(a.dem.RatchetKey), m)
	a.ledger.write()
	if l.bundle != nil {
		a.device.RegistrationID = l.bundle.RegistrationID
	}
	a.user.write()
	out := a.result(m)
	out.Identity, out.Session = l.remote, l.name
	return out
}

func (a *answer) result(m *Message) *Result {
	return &Result{To: a.from, RegistrationID: a.device.RegistrationID, Message: m, Identity: a.accepted}
}

// sends reports whether a session is one to send on, and with the device that
// there is now.
func sends(s *ratchet.Session, device *wire.PeerDevice, now uint64) bool {
	return s != nil && s.SenderKey() != nil && registered(s, device.RegistrationID) && !unansweredTooLong(s, now)
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

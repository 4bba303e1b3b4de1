package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The bounds on what two devices ask of each other, each way.
const (
	maxRetries  = 5         // requests for one message, and answers to one device about it
	maxHourly   = 300       // requests, and answers, in an hour
	maxRequests = 100       // messages of which the requests are counted
	maxAnswers  = 256 << 10 // bytes of the answers that are kept, the newest ones
	resetTime   = time.Hour
	retryTime   = 24 * time.Hour // how long any of it is remembered
)

// ErrNoRetry reports that a message is not to be asked for again, or that a
// request is not to be answered. Nothing changed.
var ErrNoRetry = errors.New("session: no retry")

// errOldVersion reports a first message of version 3, in which no session begins
// any more. It is not ErrVersion: the peer can do better, and is to be asked for
// the message again (wire-core, Section 9.2).
var errOldVersion = fmt.Errorf("%w: new session of version 3", ErrMalformed)

// A RetryReason says why a message that could not be decrypted is worth asking
// for again. The zero value says that it is not.
type RetryReason byte

const (
	// ReasonNoSession: there is no session with the sender.
	ReasonNoSession RetryReason = 1 + iota
	// ReasonNoPreKey: a prekey that the message names is gone, or never was.
	ReasonNoPreKey
	// ReasonUnreadable: no session reads the message, or one that should is
	// damaged, or at its end, or of a version in which none begins any more.
	ReasonUnreadable
	// ReasonTooFar: the message is too far ahead of what was read before. After
	// ErrTooExpensive, DecryptOptions.Deep may do without a request.
	ReasonTooFar
)

// reasons are tried in this order. What comes to none is to be tried again, as
// errors of the store are, or was no message to begin with.
var reasons = []struct {
	err    error
	reason RetryReason
}{
	{ErrDuplicate, 0},
	{keystore.ErrNewerFormat, 0},
	{ErrNoSession, ReasonNoSession},
	{ErrTooFar, ReasonTooFar},
	{ErrTooExpensive, ReasonTooFar},
	{ErrExhausted, ReasonUnreadable},
	{ErrAuth, ReasonUnreadable},
	{errOldVersion, ReasonUnreadable},
	{ErrCorrupt, ReasonUnreadable},
}

// ReasonOf says why a message that Decrypt failed on with err is worth asking
// for again; 0 is that it is not. It is not after ErrDuplicate and
// BaseKeyReusedError, which say that the message was read, and after
// IdentityMismatchError and bytes that are no message, which no honest sender
// makes. Errors of the store are no reason either: the message may be tried
// again.
func ReasonOf(err error) RetryReason {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	if _, ok := errors.AsType[*PreKeyNotFoundError](err); ok {
		return ReasonNoPreKey
	}
	return 0
}

// RequestRetry makes the message, of TypePlaintext, that asks the device from to
// send m again, which Decrypt failed on with cause. It may be a TypeSenderKey,
// which package group failed on, and of which nothing is looked at. SentAt is when m was sent, to
// the millisecond, as its envelope says. What comes is another message with
// another ID and the same time of sending.
//
// Errors: ErrNoRetry when ReasonOf(cause) is 0, or for a message of another type,
// after 5 requests for one message or 300 an hour to one device, and for
// a user who is blocked; ErrMalformed for a time that is none, and as in
// Decrypt for bytes that are no message; those of the store. After an error
// nothing changed.
func (d *Device) RequestRetry(ctx context.Context, from Address, m *Message, sentAt time.Time, cause error) (*Message, error) {
	from, err := from.canonical()
	if err != nil {
		return nil, err
	}
	dem, err := d.describe(from, m, sentAt, cause)
	if err != nil {
		return nil, err
	}
	made := Message{Type: TypePlaintext, Bytes: wire.AppendPlaintextContent(nil, &dem)}
	var out *Message
	err = d.run(ctx, from.String(), func(t *Tx) error {
		if err := t.load(d.retryKey(from), d.peerKey(from)); err != nil {
			return err
		}
		l, err := t.ledger(from)
		if err != nil {
			return err
		}
		if err := l.ask(dem.Timestamp); err != nil {
			return err
		}
		l.write()
		out = withhold(t, &made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// describe is what a request for m says.
func (d *Device) describe(from Address, m *Message, sentAt time.Time, cause error) (none wire.DecryptionErrorMessage, _ error) {
	switch {
	case m == nil:
		return none, fmt.Errorf("%w: no message", ErrMalformed)
	case m.Type != TypeSignal && m.Type != TypePreKey && m.Type != TypeSenderKey:
		return none, fmt.Errorf("%w: message type %d", ErrNoRetry, m.Type)
	case ReasonOf(cause) == 0:
		return none, fmt.Errorf("%w: no reason for one", ErrNoRetry)
	case from == d.address:
		return none, fmt.Errorf("%w: own message", ErrNoRetry)
	case sentAt.UnixMilli() <= 0:
		return none, fmt.Errorf("%w: no time of sending", ErrMalformed)
	}
	dem, err := wire.NewDecryptionErrorMessage(m.Bytes, wire.MessageType(m.Type), uint64(sentAt.UnixMilli()), from.Device)
	if err != nil || dem.RatchetKey == nil {
		return dem, err
	}
	if _, err := keys.ParsePublicKey(dem.RatchetKey); err != nil {
		return none, err
	}
	return dem, nil
}

// A ledger is the record "retry" of a peer device within an operation.
type ledger struct {
	t    *Tx
	peer Address
	now  uint64
	wire.Retry
}

// ledger reads the loaded records "retry" and "peer" of a device, of a user who
// may not be blocked. One that is damaged counts as none.
func (t *Tx) ledger(peer Address) (ledger, error) {
	l := ledger{t: t, peer: peer, now: t.d.now()}
	if err := t.mayReach(peer.User); errors.Is(err, ErrBlocked) {
		return l, fmt.Errorf("%w: %w", ErrNoRetry, err)
	} else if err != nil {
		return l, err
	}
	body, ok, err := t.get(t.d.retryKey(peer))
	if errors.Is(err, keystore.ErrNewerFormat) {
		return l, err
	}
	if ok {
		l.Retry, _ = wire.ParseRetry(body)
	}
	l.Requests = slices.DeleteFunc(l.Requests, func(q wire.RetryRequest) bool { return lapsed(q.Last, l.now) })
	return l, nil
}

// ask counts a request for the message of a time.
func (l *ledger) ask(at uint64) error {
	q := wire.RetryRequest{SentAt: at}
	i := slices.IndexFunc(l.Requests, func(q wire.RetryRequest) bool { return q.SentAt == at })
	if i >= 0 {
		q = l.Requests[i]
		l.Requests = slices.Delete(l.Requests, i, i+1)
	}
	if q.Count >= maxRetries || !hourly(&l.AskedSince, &l.Asked, l.now) {
		return fmt.Errorf("%w: asked too often", ErrNoRetry)
	}
	q.Count, q.Last = q.Count+1, l.now
	l.Requests = append(l.Requests, q)
	l.Requests = l.Requests[max(0, len(l.Requests)-maxRequests):]
	return nil
}

// answer counts an answer; reset says that it renews the session.
func (l *ledger) answer(reset bool) error {
	if reset {
		if l.Reset != 0 && !ago(l.Reset, l.now, resetTime) {
			return fmt.Errorf("%w: session renewed a short time ago", ErrNoRetry)
		}
		l.Reset = l.now
	}
	if !hourly(&l.AnsweredSince, &l.Answered, l.now) {
		return fmt.Errorf("%w: answered too often", ErrNoRetry)
	}
	return nil
}

// given returns what a request for the message of a time, that named a ratchet key
// of this hint, was answered with before; nil is nothing.
func (l *ledger) given(at uint64, hint []byte) *Message {
	for _, a := range slices.Backward(l.Answers) {
		if a.SentAt == at && bytes.Equal(a.Hint, hint) {
			return &Message{Type: MessageType(a.Type), Bytes: a.Message}
		}
	}
	return nil
}

// give keeps an answer, and of those before what there is room for.
func (l *ledger) give(at uint64, hint []byte, m *Message) {
	l.Answers = append(l.Answers, wire.RetryAnswer{SentAt: at, Hint: hint, Type: uint32(m.Type), Message: m.Bytes})
	size := 0
	for i, a := range slices.Backward(l.Answers) {
		if size += len(a.Message); size > maxAnswers && i < len(l.Answers)-1 {
			l.Answers = l.Answers[i+1:]
			return
		}
	}
}

func (l *ledger) write() { l.t.put(l.t.d.retryKey(l.peer), wire.AppendRetry(nil, &l.Retry)) }

// hourly counts one more in the hour that began at since, or in a new one.
func hourly(since *uint64, n *uint32, now uint64) bool {
	if ago(*since, now, time.Hour) {
		*since, *n = now, 0
	}
	*n++
	return *n <= maxHourly
}

// ago reports whether at is a time d or more before now, or one to come, of a
// clock that was wrong.
func ago(at, now uint64, d time.Duration) bool { return at > now || now-at >= milli(d) }

// lapsed reports whether what was done at a time no longer counts.
func lapsed(at, now uint64) bool { return ago(at, now, retryTime) }

package person

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// MaxText bounds a message, in bytes, so that its envelope passes the relay.
const MaxText = 64 << 10

// Write puts a message into the outbox.
func (p *Person) Write(ctx context.Context, to, text string) error {
	if len(text) > MaxText {
		return plainly("long", longText, MaxText)
	}
	return p.post(ctx, &note{ID: newID(), At: time.Now(), Peer: to, Mine: true, Text: text})
}

// post puts a note into the outbox, together with other changes.
func (p *Person) post(ctx context.Context, x *note, with ...keystore.Change) error {
	if err := p.mayPost(ctx, x); err != nil {
		return err
	}
	if err := p.notes.save(ctx, kindOutbox, x, with...); err != nil {
		return err
	}
	p.wake()
	return nil
}

// mayPost says why nothing is written to somebody now, nil if it is.
func (p *Person) mayPost(ctx context.Context, x *note) error {
	readers, err := p.readers(ctx, x)
	if err != nil {
		return err
	}
	if len(p.ChangedKeys(readers...)) > 0 {
		return &ChangedError{x.Peer}
	}
	return p.unanswered(readers...)
}

// A ChangedError is that nothing is written where somebody has another identity key
// than before, until that is accepted.
type ChangedError struct{ Name string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("not sent: %s has another identity key than before", e.Name)
}

// wake makes sendAll look into the outbox.
func (p *Person) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// sendAll empties the outbox whenever there is something in it, once the relay
// knows this device.
func (p *Person) sendAll(ctx context.Context) {
	select {
	case <-p.published:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		left, err := p.Flush(ctx)
		var again <-chan time.Time
		if left > 0 || err != nil {
			again = time.After(retryAfter)
		}
		select {
		case <-p.kick:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// Flush sends what can be sent, and returns how many messages wait for
// something. Those to one person leave in the order in which they were written.
func (p *Person) Flush(ctx context.Context) (left int, err error) {
	p.sending.Lock()
	defer p.sending.Unlock()
	all, err := p.notes.all(ctx, kindOutbox)
	if err != nil {
		if p.isNews("the outbox", err) {
			p.screen.Show(Event{Kind: TroubleEvent, Text: err.Error(), Err: err})
		}
		return 0, err
	}
	p.isNews("the outbox", nil)
	waits := map[string]bool{}
	for _, x := range all {
		readers, err := p.readers(ctx, x)
		if err != nil {
			p.explain(ctx, x.Peer, err)
		}
		if err != nil || len(p.ChangedKeys(append(slices.Clip(readers), post.NameOf(p.me.User))...)) > 0 || len(p.asked(readers...)) > 0 {
			waits[x.Peer] = true // and nothing is encrypted meanwhile
		}
		if !waits[x.Peer] {
			err := p.trySend(ctx, x)
			if ctx.Err() != nil {
				return left, ctx.Err()
			}
			p.explain(ctx, x.Peer, err)
			if err == nil { // what the relay shows of them was right
				p.complain(p.calm(ctx, readers...))
			}
			waits[x.Peer] = err != nil
		}
		if waits[x.Peer] {
			left++
		}
	}
	return left, nil
}

// trySend is send, and what was heard on the way.
func (p *Person) trySend(ctx context.Context, x *note) error {
	err := p.send(ctx, x)
	var consent *hosting.ConsentRequiredError
	if errors.As(err, &consent) && p.trusts(ctx, consent) {
		if err = p.gate.Consent(ctx, p.own, consent.Account, consent.Token, hosting.ByPolicy); err == nil {
			err = p.send(ctx, x)
		}
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, p.news(ctx))
}

// send brings one message to the relay. It is saved before every step that
// cannot be repeated: as text, as ciphertext, as sent.
func (p *Person) send(ctx context.Context, x *note) (err error) {
	var s *session.Sending
	rounds := 0
	for {
		if !x.Until.IsZero() && time.Now().After(x.Until) {
			x.Sealed = nil // nobody believes that certificate any more
		}
		if x.Sealed == nil && x.Again {
			return p.notes.drop(ctx, kindOutbox, x) // and so it was not asked for
		}
		if x.Sealed == nil {
			if s, err = p.encrypt(ctx, x); err != nil {
				return err
			}
		}
		// What the relay says of other devices than it knows, it has not taken.
		said, err := p.submit(ctx, x)
		switch {
		case errors.Is(err, post.ErrRejected):
			if err := p.notes.erase(ctx, p.notes.key(kindBlob, x.ID)); err != nil {
				return err
			}
			x.Rejected = true
			if err := p.notes.saveSent(ctx, x); err != nil {
				return err
			}
			p.screen.Show(Event{Kind: TroubleEvent, Text: "a message to " + x.Peer + " is not sent: " + err.Error(), Err: err})
			return nil
		case err != nil:
			return err
		case len(said) == 0:
			return p.sent(ctx, x, s)
		case x.Again:
			return p.notes.drop(ctx, kindOutbox, x) // the device that asked for it is gone
		case s == nil:
			x.Sealed = nil // before this process started: begin anew
			continue
		}
		switch err := p.reconcile(ctx, x, s, said); {
		case errors.Is(err, session.ErrUnsettled) && x.shared() && rounds < 5:
			rounds++
			x.Sealed = nil // the group needs another key
			continue
		case err != nil:
			return err
		}
		if err := p.seal(ctx, x, s); err != nil {
			return err
		}
	}
}

// submit hands a note in, and before it the file that it is about.
func (p *Person) submit(ctx context.Context, x *note) ([]session.Difference, error) {
	if err := p.uploadFile(ctx, x); err != nil {
		return nil, err
	}
	for _, part := range x.Sealed {
		if said, err := p.relay.submit(ctx, part); err != nil || len(said) > 0 {
			return said, err
		}
	}
	return nil, nil
}

// encrypt encrypts a message for all devices of its reader, and for the other
// ones of its writer, each in an envelope that does not say who that is.
func (p *Person) encrypt(ctx context.Context, x *note) (*session.Sending, error) {
	readers, err := p.readers(ctx, x)
	if err != nil {
		return nil, err
	}
	users := usersOf(readers)
	if p.full.Load() { // encrypt, and take a key of somebody's, only where that can be saved
		if err := p.notes.save(ctx, kindOutbox, x); err != nil {
			return nil, err
		}
		p.full.Store(false)
	}
	if p.failed(x.Peer) { // the last time: encrypt no more for nothing
		var unknown *session.DirectoryError // what is wrong with a label, Send judges
		if err := p.device.Refresh(ctx, users...); errors.As(err, &unknown) {
			return nil, err
		}
	}
	body, err := x.body().bytes()
	if err != nil {
		return nil, err
	}
	group := ""
	if ValidGroup(x.Peer) {
		group = x.Peer
	}
	sealing, err := p.sealing(ctx, group)
	if err != nil {
		return nil, err
	}
	timer, _, err := p.notes.timer(ctx, x.Peer)
	if err != nil {
		return nil, err
	}
	x.Lasts = timer.Duration
	var s *session.Sending
	if content := (&session.Content{Body: body, Timer: timer.Duration, TimerVersion: timer.Version}); x.shared() {
		s, err = p.encryptOnce(ctx, group, users, content, sealing)
	} else {
		s, err = p.device.Send(ctx, users, content, sealing)
	}
	if err != nil {
		return nil, err
	}
	return s, p.seal(ctx, x, s)
}

// seal saves the ciphertexts of a message. A message waits until there is one
// for each device. Those for the own other devices are handed in apart: who gets
// both would be who sent it. That they come at the same time, and from where, a
// relay sees still.
func (p *Person) seal(ctx context.Context, x *note, s *session.Sending) error {
	if err := p.pack(ctx, x, s); err != nil {
		return err
	}
	return p.notes.save(ctx, kindOutbox, x) // after an error, this ciphertext never leaves; another will
}

func (p *Person) pack(ctx context.Context, x *note, s *session.Sending) (err error) {
	if x.Until = (time.Time{}); !p.unsealed() {
		if _, x.Until, err = p.sealer(ctx); err != nil {
			return err
		}
	}
	others := &post.Submission{ID: x.ID, SentAt: s.SentAt, From: p.signature(), Envelope: s.Envelope}
	own := &post.Submission{ID: newID(), SentAt: s.SentAt, From: p.signature()}
	for _, r := range s.Results {
		part := others
		if r.To.User == p.me.User {
			part = own
		} else if !x.Again { // which is to one device
			part.Lists = append(part.Lists, r.To.User)
		}
		switch {
		case r.Err != nil:
			return r.Err
		case r.Message != nil: // else it is in the envelope
			part.Letters = append(part.Letters, post.Letter{To: r.To, RegistrationID: r.RegistrationID, Type: r.Message.Type, Bytes: r.Message.Bytes})
		}
	}
	others.Lists = slices.Compact(others.Lists)
	x.Sealed = slices.DeleteFunc([]*post.Submission{others, own}, func(s *post.Submission) bool { return s.Envelope == nil && s.Letters == nil })
	return nil
}

// shared reports whether a message is encrypted once for a whole group. Who is in
// one, each is told alone.
func (x *note) shared() bool { return ValidGroup(x.Peer) && x.Members == nil && !x.Again }

// reconcile does what the relay says that a message lacks.
func (p *Person) reconcile(ctx context.Context, x *note, s *session.Sending, said []session.Difference) error {
	if x.shared() {
		return p.groups.Reconcile(ctx, s, said...)
	}
	return p.device.Reconcile(ctx, s, said...)
}

// taken says that the relay has a message.
func (p *Person) taken(ctx context.Context, x *note, s *session.Sending) error {
	if x.shared() {
		return p.groups.Accept(ctx, s)
	}
	return p.device.Accept(ctx, s)
}

// signature is who the relay is told is sending: nobody, where that is sealed.
func (p *Person) signature() session.Address {
	if p.unsealed() {
		return p.me
	}
	return session.Address{}
}

// sent is what there is to do when the relay has a message. What was sealed
// before this process started is accepted with the next.
func (p *Person) sent(ctx context.Context, x *note, s *session.Sending) error {
	if s != nil {
		if err := p.taken(ctx, x, s); err != nil {
			return err
		}
	}
	if err := p.notes.saveSent(ctx, x); err != nil {
		return err
	}
	p.ages()
	if err := p.news(ctx); err != nil {
		return err
	}
	if err := p.showLabel(ctx, x.Peer); err != nil {
		return err
	}
	kind := SentEvent
	if x.Again {
		kind = ResentEvent
	}
	p.screen.Show(Event{Kind: kind, Peer: x.Peer, Mail: x.ID})
	return nil
}

// news tells what changed in the device lists, and what the gate found.
func (p *Person) news(ctx context.Context) error {
	p.telling.Lock()
	defer p.telling.Unlock()
	for e, err := range p.device.Events(ctx) {
		if err != nil {
			return err
		}
		switch e.Kind {
		case session.DeviceAdded:
			err = p.tellDevice(ctx, &e, newDeviceText)
		case session.LabelNotice:
			_, err = p.notice(ctx, &e, eventID(nil, 0, &e), e.At)
		case session.DeviceRemoved:
			err = p.tellDevice(ctx, &e, noDeviceText)
		}
		if err != nil {
			return err
		}
		if err := p.device.AcknowledgeEvents(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// tellDevice tells that somebody has another device, or one less.
func (p *Person) tellDevice(ctx context.Context, e *session.Event, t text) error {
	name := post.NameOf(e.Address.User)
	a := announced(name, NewsEvent, saying(deviceText(t), nil, name, e.Address.Device)).of(eventID(nil, 0, e), e.At)
	if err := p.notes.announce(ctx, a); err != nil {
		return err
	}
	p.screen.Show(Event{Kind: NewsEvent, Peer: name, Text: fmt.Sprintf(t.in(p.language()), e.Address.Device)})
	return nil
}

// deviceText is a sentence about somebody.
func deviceText(t text) text { return text{"%s " + t.en, "%s " + t.id} }

// explain shows why messages to someone wait, once for each reason.
func (p *Person) explain(ctx context.Context, name string, err error) {
	var untrusted *session.UntrustedIdentityError
	var asked *session.DirectoryError
	var consent *hosting.ConsentRequiredError
	if errors.Is(err, keystore.ErrFull) {
		p.full.Store(true)
	}
	switch {
	case errors.As(err, &consent):
		p.ask(ctx, consent)
	case !p.isNews(name, err) || err == nil:
	case errors.As(err, &untrusted):
		p.complain(p.noteChange(ctx, untrusted.Address, untrusted.Seen, time.Now()))
	case p.refusal(name, err) != nil:
		p.complain(p.hold(ctx, name, err))
	case errors.As(err, &asked):
		p.screen.Show(Event{Kind: WaitsEvent, Peer: name, Text: asked.Err.Error(), Err: err})
	default:
		p.screen.Show(Event{Kind: WaitsEvent, Peer: name, Text: err.Error(), Err: err})
	}
}

// complain shows what keeps something from being noted, where nothing depends on
// that.
func (p *Person) complain(err error) {
	if err != nil {
		p.screen.Show(Event{Kind: TroubleEvent, Text: err.Error(), Err: err})
	}
}

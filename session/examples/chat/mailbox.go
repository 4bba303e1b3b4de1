package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// Bounds of the mailboxes.
const (
	maxMail  = 1000 // messages in one mailbox
	maxBatch = 50   // messages in one answer
)

// An envelope is all that the relay knows of a message. From is empty where that
// is sealed.
type envelope struct {
	ID     string              `json:"id"` // the sender's choice; the same one is the same message
	From   session.Address     `json:"from,omitzero"`
	SentAt time.Time           `json:"sentAt"` // by which a reader asks for it again
	Taken  time.Time           `json:"taken"`  // by the relay; certificates have to be good then
	Type   session.MessageType `json:"type"`
	Bytes  []byte              `json:"bytes"` // ciphertext

	by    *sealed.SenderCertificate // who sent it, once it is open
	group []byte                    // what for, by the sender's word
}

func (e *envelope) message() *session.Message { return &session.Message{Type: e.Type, Bytes: e.Bytes} }

// A mailroom keeps each message until its reader confirms it. Each device has a
// mailbox.
type mailroom struct {
	mu    sync.Mutex
	boxes map[session.Address]*mailbox
}

type mailbox struct {
	mail []envelope    // in the order in which it came
	news chan struct{} // closed when something changes
}

// box returns the mailbox of a device. The caller holds the lock, and knows that
// the device is in the directory, which bounds their number.
func (m *mailroom) box(a session.Address) *mailbox {
	b := m.boxes[a]
	if b == nil {
		b = &mailbox{news: make(chan struct{})}
		m.boxes[a] = b
	}
	return b
}

// put adds a message, unless it is there.
func (m *mailroom) put(to session.Address, e envelope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(to)
	switch {
	case slices.ContainsFunc(b.mail, func(o envelope) bool { return o.ID == e.ID }):
		return nil
	case len(b.mail) >= maxMail:
		return errFull
	}
	b.mail = append(b.mail, e)
	b.wake()
	return nil
}

// clear throws away what is in a mailbox, whose reader is gone.
func (m *mailroom) clear(a session.Address) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(a)
	b.mail = nil
	b.wake()
}

// wake makes all who wait for mail of a user look again.
func (m *mailroom) wake(user string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for a, b := range m.boxes {
		if a.User == user {
			b.wake()
		}
	}
}

func (b *mailbox) wake() {
	close(b.news)
	b.news = make(chan struct{})
}

// wait returns the oldest mail that is not confirmed, the same again until it
// is. While there is none, it waits for a change, or until ctx ends.
func (m *mailroom) wait(ctx context.Context, a session.Address) []envelope {
	mail, news := m.look(a)
	if len(mail) > 0 {
		return mail
	}
	select {
	case <-news:
	case <-ctx.Done():
	}
	mail, _ = m.look(a)
	return mail
}

func (m *mailroom) look(a session.Address) ([]envelope, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(a)
	return slices.Clone(b.mail[:min(len(b.mail), maxBatch)]), b.news
}

// confirm removes a message, if it is there.
func (m *mailroom) confirm(a session.Address, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(a)
	b.mail = slices.DeleteFunc(b.mail, func(e envelope) bool { return e.ID == id })
}

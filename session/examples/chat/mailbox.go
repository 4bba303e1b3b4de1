package main

import (
	"context"
	"slices"
	"sync"

	"github.com/gembok-e2ee/gembok/session"
)

// Bounds of the mailboxes.
const (
	maxMail  = 1000 // messages in one mailbox
	maxBatch = 50   // messages in one answer
)

// An envelope is all that the relay knows of a message.
type envelope struct {
	ID    string              `json:"id"` // the sender's choice; the same one is the same message
	From  string              `json:"from"`
	Type  session.MessageType `json:"type"`
	Bytes []byte              `json:"bytes"` // ciphertext
}

// A mailroom keeps each message until its reader confirms it.
type mailroom struct {
	mu    sync.Mutex
	boxes map[string]*mailbox
}

type mailbox struct {
	mail []envelope    // in the order in which it came
	news chan struct{} // closed when mail comes
}

// box returns the mailbox of a name. The caller holds the lock, and knows that
// the name is in the directory, which bounds their number.
func (m *mailroom) box(name string) *mailbox {
	b := m.boxes[name]
	if b == nil {
		b = &mailbox{news: make(chan struct{})}
		m.boxes[name] = b
	}
	return b
}

// put adds a message, unless it is there.
func (m *mailroom) put(to string, e envelope) error {
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
	close(b.news)
	b.news = make(chan struct{})
	return nil
}

// wait returns the oldest mail that is not confirmed, the same again until it
// is. While there is none, it waits until ctx ends.
func (m *mailroom) wait(ctx context.Context, name string) []envelope {
	for {
		mail, news := m.look(name)
		if len(mail) > 0 {
			return mail
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *mailroom) look(name string) ([]envelope, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(name)
	return slices.Clone(b.mail[:min(len(b.mail), maxBatch)]), b.news
}

// confirm removes a message, if it is there.
func (m *mailroom) confirm(name, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(name)
	b.mail = slices.DeleteFunc(b.mail, func(e envelope) bool { return e.ID == id })
}

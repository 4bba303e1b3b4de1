package relay

import (
	"context"
	"slices"
	"sync"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxMail bounds the messages in one mailbox.
const maxMail = 1000

// A mailroom keeps each message until its reader confirms it. Each device has a
// mailbox.
type mailroom struct {
	mu    sync.Mutex
	boxes map[session.Address]*mailbox
}

type mailbox struct {
	mail []post.Envelope // in the order in which it came
	news chan struct{}   // closed when something changes
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
func (m *mailroom) put(to session.Address, e post.Envelope) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(to)
	switch {
	case slices.ContainsFunc(b.mail, func(o post.Envelope) bool { return o.ID == e.ID }):
		return nil
	case len(b.mail) >= maxMail:
		return post.ErrFull
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
func (m *mailroom) wait(ctx context.Context, a session.Address) []post.Envelope {
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

func (m *mailroom) look(a session.Address) ([]post.Envelope, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(a)
	return slices.Clone(b.mail[:min(len(b.mail), post.MaxBatch)]), b.news
}

// confirm removes a message, if it is there.
func (m *mailroom) confirm(a session.Address, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(a)
	b.mail = slices.DeleteFunc(b.mail, func(e post.Envelope) bool { return e.ID == id })
}

package main

import (
	"bytes"
	"strings"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// A parcel is a message on its way to one device.
type parcel struct {
	number   int
	from, to string // labels
	text     string // what must be read; the relay does not see it
	envelope post.Envelope
	group    string // for which it is
	told     bool   // who is in it
	forged   bool
	wait     int // messages to let pass first
	staged   bool
	read     bool
}

// kind is what a device shows that reads the message.
func (m *parcel) kind() string {
	if m.told {
		return person.GroupEvent
	}
	if owner(m.from) == owner(m.to) {
		return person.SyncEvent
	}
	return person.ReadEvent
}

// again puts the message into another envelope.
func (m *parcel) again() *parcel {
	m.envelope.ID += "-2"
	return m
}

// forge is another message in the same envelope but one bit: of the MAC.
func (m *parcel) forge() *parcel {
	f := *m
	f.forged = true
	f.envelope.ID += "-forged"
	f.envelope.Bytes = bytes.Clone(m.envelope.Bytes)
	f.envelope.Bytes[len(f.envelope.Bytes)-1] ^= 1
	return &f
}

// owner is whose device has a label.
func owner(label string) string {
	name, _, _ := strings.Cut(label, "/")
	return name
}

// other is whom somebody talks to.
func (p *play) other(label string) string {
	if owner(label) == p.pair[0] {
		return p.pair[1]
	}
	return p.pair[0]
}

package session

import (
	"cmp"
	"time"
)

// A Timer says after what time the messages of a conversation disappear, and which
// change of that it is (gembok, Section 3): Duration and Version are Timer and
// TimerVersion of a Content, Sender is the user whose message said so. The zero
// value is none yet: messages stay. It is a value, for any goroutine.
//
// An app keeps one for each conversation, takes in what each message says, its own
// ones included, by Merge, and sends with what it keeps. Who changes it adds 1 to
// Version.
type Timer struct {
	Duration time.Duration // in whole seconds; 0 is never
	Version  uint32
	Sender   string
}

// Merge returns the one of t and u that holds: that of the higher Version, or else
// the longer one, or else that of the greater Sender, byte for byte. So it does not
// matter in which order messages come, or how often: all who have seen the same
// ones have the same Timer.
func (t Timer) Merge(u Timer) Timer {
	if cmp.Or(cmp.Compare(t.Version, u.Version), cmp.Compare(t.Duration, u.Duration), cmp.Compare(t.Sender, u.Sender)) < 0 {
		return u
	}
	return t
}

// Deadline returns when a message with this Timer disappears that begins at a
// time; zero is never. It begins when it was sent (Content.SentAt) on the devices of
// its sender, and when it was read for the first time on those of others. The Timer
// is that of the message, not of the conversation.
func (t Timer) Deadline(begins time.Time) time.Time {
	if t.Duration <= 0 {
		return time.Time{}
	}
	return begins.Add(t.Duration)
}

// Timer returns what r says of the timer of its conversation; zero without
// Options.Content. Which one that is says From, or SyncTo of the Content.
func (r *Received) Timer() Timer {
	if r.Content == nil {
		return Timer{}
	}
	return Timer{Duration: r.Content.Timer, Version: r.Content.TimerVersion, Sender: r.From.User}
}

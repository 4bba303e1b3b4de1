package person

import "fmt"

// The kinds of events.
const (
	ReadyEvent    = "ready"    // prekeys are published
	ReadEvent     = "read"     // a message was received and saved
	AgainEvent    = "again"    // a message came that was saved before
	RefusedEvent  = "refused"  // a message is no message of that person
	AskedEvent    = "asked"    // a message could not be read; its sender was asked for it again
	SyncEvent     = "sync"     // a message of one's own came from another device of one's own
	ResentEvent   = "resent"   // the relay has a message again, for somebody who could not read it
	SentEvent     = "sent"     // the relay has a message
	WaitsEvent    = "waits"    // messages cannot be sent now
	ChangedEvent  = "changed"  // somebody has another identity key
	NewsEvent     = "news"     // somebody has another device, or one less
	LinkEvent     = "link"     // this new device waits to be linked
	OfferEvent    = "offer"    // this device of a provider waits for the business to take it
	LabelEvent    = "label"    // who holds the keys at the other end
	HostingEvent  = "hosting"  // that changed, or what is said of it is not true
	AsksEvent     = "asks"     // nothing is sent before the answer
	HeldEvent     = "held"     // messages are not sent, because of who holds the keys, or may
	TimerEvent    = "timer"    // somebody says how long messages last
	GoneEvent     = "gone"     // a message has disappeared
	RemovedEvent  = "removed"  // this device was removed
	TroubleEvent  = "trouble"  // something else went wrong
	NoticeEvent   = "notice"   // the answer to a command
	GroupEvent    = "group"    // somebody says who is in a group
	KeyEvent      = "key"      // those who lacked the key of a group were given it
	NumberEvent   = "number"   // the safety number with somebody
	AgreedEvent   = "agreed"   // a question was answered
	VerifiedEvent = "verified" // it is the same on the other side
)

// An Event is something for the person to see. Peer and Text come from outside.
type Event struct {
	Kind       string   `json:"kind"`
	Peer       string   `json:"peer,omitempty"`
	Group      string   `json:"group,omitempty"`    // in which it was said
	Outsider   bool     `json:"outsider,omitempty"` // by one who is not in it, as far as is known here
	Mail       string   `json:"mail,omitempty"`     // the ID of an envelope
	Text       string   `json:"text,omitempty"`
	File       *File    `json:"file,omitempty"`       // that the text is about
	Lines      []string `json:"lines,omitempty"`      // below the text
	Code       []byte   `json:"code,omitempty"`       // of a safety number, for the other side to scan
	Unaccepted bool     `json:"unaccepted,omitempty"` // the sender's identity key
	Unlisted   bool     `json:"unlisted,omitempty"`   // the sender's device, in the statement of who holds the keys
	Declined   bool     `json:"declined,omitempty"`   // what is held was declined, and a yes would send it
	Err        error    `json:"-"`                    // what the text is about, for Plain; nil is nothing
}

// A File is what is shown of a file.
type File struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// String is what a screen without files shows of one.
func (f *File) String() string { return fmt.Sprintf("[%s, %d bytes]", f.Name, f.Size) }

// A Screen shows events, from several goroutines.
type Screen interface{ Show(Event) }

// Package sealed hides from whoever carries a message who sent it: sealed
// sender, version 1 for one recipient, version 2 for many at once.
//
// An envelope holds a message of package session or group, the sender's
// certificate and a few hints. A relay issues certificates to its users:
// IssueServerCertificate and IssueSenderCertificate. A [Sender] seals with one:
// SealAll is what SendOptions.Seal is to be, and seals all that a Device or its
// Groups send. A [Receiver] opens over a Device. An [Opener], which checks against
// a [Trust], knows nothing of sessions, and [Split] is what a server does with the
// one upload of a message for many.
//
// The source is spec/sealed-groups-fingerprint.md, Sections 1 to 3.
//
// # What it does not hide
//
// The carrier sees to whom an envelope goes, when, how long it is, and to whom
// one for many goes at once; over many messages that answers, and receipts above
// all, tell who talks to whom (Martiny and others, "Improving Signal's Sealed
// Sender", NDSS 2021). It sees the connection that an envelope comes by, on which
// a sender is not to log in, and who asks for whose prekeys, or for a certificate.
//
// Whoever gets hold of a recipient's identity key can read the senders of all
// envelopes to him, old ones too: sealed sender has no forward secrecy. He can
// also make envelopes to this recipient, by every certificate that he has seen.
// What is inside keeps its own secrecy and has to be authentic by itself, which
// only a request to send a message again is not. An envelope can be made again
// around the same message: a copy is known by the message, never by the envelope.
//
// Opening takes the same time whoever sent, as long as there are no caches.
// With them a known sender's is quicker.
//
// # Divergences
//
// Deployed peers differ in these, and no honest peer's message is refused:
//
//   - Public keys have exactly 33 bytes; more are accepted elsewhere.
//   - Signatures need s < L, and the keys of servers and trust roots are in range
//     and not of small order (package keys).
//   - An envelope of version 1 begins with 0x1n. The nibble 0 is refused unless
//     Options.VersionZero is set; nobody writes it.
//   - The number of recipients in a sent form is a varint in its shortest form.
//     Deployed parsers lose their place behind others.
//   - SealMany refuses what would be useless: a user both in and out, devices
//     twice, one user under two identity keys.
//   - A time before 1970, or beyond 63 bits of milliseconds, is past every expiry.
//   - A Receiver wants the certificate's key to be the one that the message inside
//     is authentic by, and compares its own name with a certificate's as the id
//     that both stand for, whatever the case of its digits.
//   - Known server certificates are the caller's table, and so are revoked ones.
//     Deployed libraries have those of one service built in, and 0xDEADC357 as a
//     revoked id for tests.
package sealed

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// A Hint says what its sender will do about a message that cannot be decrypted.
// Others than these are kept as they are.
type Hint uint32

// The hints.
const (
	HintDefault    Hint = 0 // nothing: say at once that a message was lost
	HintResendable Hint = 1 // keeps a copy: ask for it first
	HintImplicit   Hint = 2 // nothing, and nobody needs to know: receipts, typing
)

// A Message is what was in an envelope. Its zero value is none.
type Message struct {
	Type   session.MessageType // TypeSignal, TypePreKey, TypeSenderKey or TypePlaintext
	Bytes  []byte              // may be empty
	Hint   Hint
	Group  []byte // opaque, and no more than the sender's word; nil: none
	Sender *SenderCertificate
}

// parseMessage reads the content of an envelope. Errors are ErrMalformed,
// ErrTooLarge and keys.ErrKey.
func parseMessage(content []byte) (*Message, error) {
	c, err := wire.ParseSealedContent(content)
	if err != nil {
		return nil, err
	}
	sender, err := ParseSenderCertificate(c.Certificate)
	if err != nil {
		return nil, err
	}
	return &Message{
		Type:   session.MessageType(c.Type),
		Bytes:  c.Content,
		Hint:   Hint(c.Hint),
		Group:  c.Group,
		Sender: sender,
	}, nil
}

// Options are the choices of a Sender, an Opener and a Receiver. The zero value, like nil,
// is the defaults.
type Options struct {
	// Cache is how many key agreements with the identity keys of others are
	// kept; 0 is none. Each saves one X25519. They are secrets: whoever reads
	// them out of memory can tell, and forge, envelopes between the two, as with
	// either private key. What is evicted is overwritten.
	Cache int
	// VersionZero makes an Opener accept version bytes 0x0n as version 1, as
	// deployed libraries do.
	VersionZero bool
	// E164 is the own phone number, for a Receiver: an envelope by a certificate of
	// this number, and of the device's, is ErrSelfSend whatever its name is. "" is
	// none.
	E164 string
}

func (o *Options) orDefault() Options {
	if o == nil {
		return Options{}
	}
	return *o
}

// errVersion is the error of an envelope of a version that cannot be read.
func errVersion(v byte) error {
	return fmt.Errorf("%w: envelope of version %d", session.ErrVersion, v)
}

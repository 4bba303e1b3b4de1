// Package hosting says who holds the key at the other end of a conversation, and
// has the user asked before anything is encrypted to one that somebody else holds.
//
// A Gate is what a Device asks: session.Options.Gate. A send that it refuses is a
// ConsentRequiredError, and goes through after Consent. What it finds comes as
// events of kind session.LabelNotice, for Notice, and with each message, for
// Receipt. The Device needs session.Options.Content for what messages say of it.
//
// A Manifest is what an account states of its keys, complete, signed, dated and
// numbered: Parse reads one, Verify checks it. A Label is what an app shows of
// one or more of them. The source is spec/gembok.md, Section 4.
//
// An archive is what a person takes along: ArchiveWriter writes it and ReadArchive
// reads it (Section 5).
//
// Where the bytes come from, a server or a message, matters nothing: a statement
// is believed for its signatures, and one that was left out is missed.
//
// # What it cannot do
//
// A business that lies about who has its keys, or reads and forwards, is not
// found out. The manifest makes of a silent fact a signed, dated claim.
//
// # Limits
//
// A manifest has at most 8 KiB, 32 endpoints and 30 days. That a key has another
// controller than before is seen against the manifests held and the last 128 keys
// of those before. Of an account there is one record, of at most three manifests and
// those keys. A Gate remembers records as it read them, of 2 MiB as they are stored.
//
// Who is believed to be a device of an account can stop what is sent to it, by
// speaking of a manifest that never comes, and who shows the first manifest of one
// ever seen can be a stranger. Nothing is sent to anybody else for it, and
// session.Device.Forget lets the user begin anew.
package hosting

import "errors"

var (
	// ErrLabelStripped reports that no manifest is shown of an account that had
	// one. What was known of it stays.
	ErrLabelStripped = errors.New("hosting: manifest left out")
	// ErrLabelStale reports a manifest, or a consent, that is not about the newest
	// one known of; and a send while that one has not arrived.
	ErrLabelStale = errors.New("hosting: manifest is not the newest")
	// ErrLabelMismatch reports a manifest of another account, a key that the
	// manifest does not list for its device, and statements that contradict each
	// other.
	ErrLabelMismatch = errors.New("hosting: manifest does not fit")
	// ErrLabelText reports a name that could pass for another or cannot be seen as
	// it is.
	ErrLabelText = errors.New("hosting: name not fit to be shown")
	// ErrManifestExpired reports a manifest before or after its time.
	ErrManifestExpired = errors.New("hosting: manifest out of date")
	// ErrControllerChangedForKey reports a key whose controller is another one than
	// it was: private keys do not move.
	ErrControllerChangedForKey = errors.New("hosting: key with another controller than before")
	// ErrSharedKeyAcrossControllers reports a manifest that names two controllers
	// for one key.
	ErrSharedKeyAcrossControllers = errors.New("hosting: key with two controllers")
)

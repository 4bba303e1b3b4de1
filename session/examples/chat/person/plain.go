package person

import (
	"context"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A plainError has a sentence of its own in every language.
type plainError struct {
	code  string
	said  wording
	lang  string // of Error
	cause error  // nil where it is its own
}

func (e *plainError) Error() string { return e.said.in(e.lang).Text }

func (e *plainError) Unwrap() error { return e.cause }

func plainly(code string, t text, args ...any) *plainError {
	return &plainError{code: code, said: saying(t, nil, args...)}
}

func (e *plainError) in(lang string) *plainError {
	e.lang = lang
	return e
}

func (e *plainError) because(err error) *plainError {
	e.cause = err
	return e
}

// SetLang has what is said in English, or "id", in Indonesian, from now on; also what
// was announced before.
func (p *Person) SetLang(lang string) { p.lang.Store(&lang) }

func (p *Person) language() string { return *p.lang.Load() }

// Plain is Plain in the language of p.
func (p *Person) Plain(err error) (code, text string) { return Plain(p.language(), err) }

// Plain returns a sentence that says what went wrong and what becomes of it, and a
// word for it that does not depend on the language, "failed" where that is not known.
func Plain(lang string, err error) (code, text string) {
	var own *plainError
	var consent *ConsentError
	var changed *ChangedError
	var asks *hosting.ConsentRequiredError
	var untrusted *session.UntrustedIdentityError
	switch {
	case errors.As(err, &own):
		return own.code, own.said.in(lang).Text
	case errors.As(err, &consent):
		return plainConsent(lang, consent.Name, consent.Declined)
	case errors.As(err, &asks):
		return plainConsent(lang, post.NameOf(asks.Account), asks.State == "DECLINED")
	case errors.As(err, &changed):
		return "changed", fmt.Sprintf(heldKeyText.in(lang), changed.Name)
	case errors.As(err, &untrusted):
		return "changed", fmt.Sprintf(heldKeyText.in(lang), post.NameOf(untrusted.Address.User))
	}
	for _, s := range sentences {
		if errors.Is(err, s.err) {
			return s.code, s.text.in(lang)
		}
	}
	return "failed", fmt.Sprintf(failedText.in(lang), err)
}

func plainConsent(lang, name string, declined bool) (code, text string) {
	if declined {
		return "declined", fmt.Sprintf(refusedText.in(lang), name)
	}
	return "asks", fmt.Sprintf(openText.in(lang), name)
}

// sentences are what is said of errors of other packages. An error that wraps another
// one comes before it.
var sentences = []struct {
	err  error
	code string
	text text
}{
	{errNonsense, "nonsense", nonsenseText},
	{post.ErrGone, "gone", relayGoneText},
	{post.ErrUnknown, "unknown", unknownText},
	{post.ErrRemoved, "removed", removedText},
	{post.ErrFull, "relayfull", relayFullText},
	{post.ErrDiffers, "busy", busyText},
	{post.ErrLarge, "large", tooLargeText},
	{post.ErrRejected, "rejected", rejectedText},
	{post.ErrName, "name", nameText},
	{ErrNumber, "number", numberText},
	{ErrOffer, "offer", offerText},

	{keystore.ErrFull, "full", fullText},
	{keystore.ErrLocked, "second", lockedText},
	{keystore.ErrNewerFormat, "newer", newerText},
	{keystore.ErrRolledBack, "old", rolledBackText},
	{keystore.ErrCorrupt, "damaged", damagedText},
	{keystore.ErrClosed, "closed", closedText},
	{keystore.ErrCommitUnknown, "storage", storageText},
	{keystore.ErrReadOnly, "storage", storageText},

	{hosting.ErrLabelStripped, "stripped", noLabelText},
	{hosting.ErrLabelStale, "stale", oldLabelText},
	{hosting.ErrLabelMismatch, "mismatch", otherKeyText},
	{hosting.ErrManifestExpired, "expired", expiredText},
	{hosting.ErrControllerChangedForKey, "label", badLabelText},
	{hosting.ErrSharedKeyAcrossControllers, "label", badLabelText},
	{hosting.ErrLabelText, "label", badLabelText},

	{session.ErrHosted, "hosted", hostedText},
	{session.ErrLink, "link", linkText},
	{session.ErrExists, "link", linkText},
	{session.ErrBlocked, "blocked", blockedText},
	{session.ErrUnsettled, "busy", busyText},
	{session.ErrAuth, "forged", forgedText},
	{session.ErrMalformed, "nonsense", nonsenseText},
	{context.Canceled, "stopped", stoppedText},
	{context.DeadlineExceeded, "gone", relayGoneText},
}

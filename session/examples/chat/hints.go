package main

import (
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// What the terminal adds to what is said, of what one may type then.
var (
	answerHint  = phrase{"/consent yes sends it, /consent no does not", "/consent yes mengirimnya, /consent no tidak"}
	openHint    = phrase{"; /consent yes or /consent no", "; /consent yes atau /consent no"}
	refusedHint = phrase{"; /consent yes if you do now", "; /consent yes jika kini setuju"}
)

// A hinting screen adds that to events.
type hinting struct {
	person.Screen
	lang string
}

func (h hinting) Show(e person.Event) {
	switch {
	case e.Kind == person.AsksEvent:
		e.Lines = append(e.Lines, answerHint.in(h.lang))
	case e.Kind == person.HeldEvent && e.Declined:
		e.Text += refusedHint.in(h.lang)
	}
	if e.File != nil {
		e.Text = fileText(e.File)
	}
	h.Screen.Show(e)
}

func fileText(f *person.File) string {
	return fmt.Sprintf("[%s, %d bytes: /save FILE]", f.Name, f.Size)
}

// hinted adds it to an error.
func hinted(err error, lang string) error {
	var consent *person.ConsentError
	var changed *person.ChangedError
	switch {
	case errors.As(err, &consent) && consent.Declined:
		return errors.New(err.Error() + refusedHint.in(lang))
	case errors.As(err, &consent):
		return errors.New(err.Error() + openHint.in(lang))
	case errors.As(err, &changed):
		return fmt.Errorf("%w; see /who, and /accept", err)
	case errors.Is(err, person.ErrOffer):
		return errors.New("/move wants the text that the provider's device shows")
	case errors.Is(err, person.ErrNumber):
		return errors.New("/verify NAME wants the 60 digits that the other one sees, or what the code there says")
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// lastShown is a screen that keeps what it shows last.
type lastShown struct{ person.Event }

func (s *lastShown) Show(e person.Event) { s.Event = e }

// Whoever is asked, or may change their mind, or is sent a file, is told what to type.
func TestHints(t *testing.T) {
	for _, c := range []struct {
		lang       string
		shown, say person.Event
	}{
		{"en", person.Event{Kind: person.AsksEvent, Lines: []string{"this:"}},
			person.Event{Kind: person.AsksEvent, Lines: []string{"this:", "/consent yes sends it, /consent no does not"}}},
		{"id", person.Event{Kind: person.AsksEvent},
			person.Event{Kind: person.AsksEvent, Lines: []string{"/consent yes mengirimnya, /consent no tidak"}}},
		{"en", person.Event{Kind: person.HeldEvent, Text: "not sent", Declined: true},
			person.Event{Kind: person.HeldEvent, Text: "not sent; /consent yes if you do now", Declined: true}},
		{"en", person.Event{Kind: person.HeldEvent, Text: "not sent"}, person.Event{Kind: person.HeldEvent, Text: "not sent"}},
		{"en", person.Event{Kind: person.ReadEvent, File: &person.File{Name: "a", Size: 7}},
			person.Event{Kind: person.ReadEvent, File: &person.File{Name: "a", Size: 7}, Text: "[a, 7 bytes: /save FILE]"}},
	} {
		var s lastShown
		hinting{&s, c.lang}.Show(c.shown)
		require.Equal(t, c.say, s.Event)
	}

	for want, err := range map[string]error{
		"; /consent yes or /consent no": &person.ConsentError{}, "; /consent yes if you do now": &person.ConsentError{Declined: true},
		"not sent: budi has another identity key than before; see /who, and /accept": &person.ChangedError{Name: "budi"},
		"/move wants the text that the provider's device shows":                      person.ErrOffer,
		"another": errors.New("another"),
		"/verify NAME wants the 60 digits that the other one sees, or what the code there says": fmt.Errorf("more: %w", person.ErrNumber),
	} {
		require.EqualError(t, hinted(err, "en"), want)
	}
}

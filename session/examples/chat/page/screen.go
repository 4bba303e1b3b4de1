//go:build js && wasm

package main

import (
	"syscall/js"
	"time"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// A screen is a function of the page that is called with each event. What went wrong is
// said as a Promise would say it, in a sentence and a code.
type screen struct {
	app     *app
	onEvent js.Value
}

func (s screen) Show(e person.Event) {
	shown := toJS(e)
	if e.Err != nil {
		code, text := s.app.plain(e.Err)
		shown.Set("code", code)
		shown.Set("text", text)
	}
	call(s.onEvent, shown)
}

// frame is how long a browser needs between what it shows.
const frame = time.Second / 60

// progress returns what calls a function of the page with how much is done of how much.
// From time to time it waits, so that the page can show it: nothing is drawn while a
// program runs.
func progress(f js.Value) func(done, total int64) {
	var shown time.Time
	return func(done, total int64) {
		call(f, float64(done), float64(total))
		if time.Since(shown) > 4*frame {
			time.Sleep(time.Millisecond)
			shown = time.Now()
		}
	}
}

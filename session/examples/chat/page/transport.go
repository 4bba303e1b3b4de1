//go:build js && wasm

package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// statusHeader has the status of the relay's answer; that of HTTP is 200 always, so that
// a browser has nothing to write to its console.
const statusHeader = "Relay-Status"

// maxAnswer bounds an answer of the relay: a full mailbag, as JSON.
const maxAnswer = post.MaxBatch * post.MaxEnvelope * 3 / 2

// A transport is the way to the relay: requests to the server that the page came from.
// fetch would not tell how far an upload is.
type transport struct{}

// Do makes a request. It gives up when ctx ends.
func (transport) Do(ctx context.Context, r *person.Request) (status int, answer []byte, err error) {
	to, err := address(r.Path)
	if err != nil {
		return 0, nil, err
	}
	x := js.Global().Get("XMLHttpRequest").New()
	x.Call("open", r.Method, to)
	x.Set("responseType", "arraybuffer")
	ended := make(chan struct{})
	var handlers listeners
	defer handlers.release()
	handlers.add(x, "loadend", func(js.Value) { close(ended) })
	tooLarge := make(chan struct{}, 1)
	handlers.add(x, "progress", func(e js.Value) {
		if e.Get("loaded").Float() > maxAnswer {
			select {
			case tooLarge <- struct{}{}:
			default: // that is known
			}
		}
	})
	passed := make(chan [2]int64, 1)
	if r.Progress != nil {
		handlers.add(passing(x, r), "progress", func(e js.Value) {
			select {
			case <-passed: // was not told yet, and is old now
			default:
			}
			passed <- [2]int64{int64(e.Get("loaded").Float()), int64(e.Get("total").Float())}
		})
	}
	if r.Body == nil {
		x.Call("send")
	} else {
		x.Call("send", bytesToJS(r.Body))
	}
	for {
		select {
		case n := <-passed: // here, since nothing may wait in a handler
			r.Progress(n[0], n[1])
		case <-ended:
			select {
			case n := <-passed:
				r.Progress(n[0], n[1])
			default:
			}
			return read(x)
		case <-tooLarge:
			x.Call("abort")
			return 0, nil, post.ErrNonsense
		case <-ctx.Done():
			x.Call("abort") // of which there may be no event, in the middle of another
			return 0, nil, ctx.Err()
		}
	}
}

// passing returns whose progress that of a request is: what is sent, if there is
// something.
func passing(x js.Value, r *person.Request) js.Value {
	if r.Body != nil {
		return x.Get("upload")
	}
	return x
}

// read returns the answer to a request that has ended.
func read(x js.Value) (status int, answer []byte, err error) {
	said := x.Call("getResponseHeader", statusHeader)
	switch {
	case x.Get("status").Int() == 0:
		return 0, nil, errors.New("no answer")
	case said.Type() != js.TypeString: // another server is there, or a part of this one
		return 0, nil, post.ErrNonsense
	}
	status, err = strconv.Atoi(said.String())
	array := js.Global().Get("Uint8Array").New(x.Get("response"))
	if err != nil || status < 200 || status > 599 || array.Length() > maxAnswer {
		return 0, nil, post.ErrNonsense
	}
	answer = make([]byte, array.Length())
	js.CopyBytesToGo(answer, array)
	return status, answer, nil
}

// address returns where a request goes, below the page's own. No part of it leads out
// of there.
func address(path []string) (string, error) {
	to := "/relay"
	for _, part := range path {
		if strings.Trim(part, ".") == "" {
			return "", post.ErrNonsense
		}
		to += "/" + js.Global().Call("encodeURIComponent", part).String()
	}
	return to, nil
}

// listeners are functions that wait for events.
type listeners []struct {
	target js.Value
	event  string
	f      js.Func
}

func (l *listeners) add(target js.Value, event string, f func(e js.Value)) {
	wrapped := js.FuncOf(func(_ js.Value, args []js.Value) any {
		f(args[0])
		return nil
	})
	target.Call("addEventListener", event, wrapped)
	*l = append(*l, struct {
		target js.Value
		event  string
		f      js.Func
	}{target, event, wrapped})
}

func (l *listeners) release() {
	for _, h := range *l {
		h.target.Call("removeEventListener", h.event, h.f)
		h.f.Release()
	}
}

//go:build js && wasm

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/examples/chat/indexeddb"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// These run in a browser, with a server that answers below /relay/ as the tests want
// it: internal/browser has both.

// outcome calls a function of the API: what it returned, as JSON, or its error's code and
// message.
func outcome(t *testing.T, f js.Func, args ...any) string {
	t.Helper()
	value, err := await(t.Context(), f.Invoke(args...))
	var thrown js.Error
	switch {
	case errors.As(err, &thrown):
		require.True(t, thrown.InstanceOf(js.Global().Get("Error")))
		return thrown.Get("code").String() + ": " + thrown.Get("message").String()
	case value.IsUndefined():
		return "undefined"
	}
	return js.Global().Get("JSON").Call("stringify", value).String()
}

func eval(script string) js.Value {
	return js.Global().Get("Function").New("return (" + script + ")").Invoke()
}

// What the page passes is checked before anything is done with it, and is passed as it is.
func TestArguments(t *testing.T) {
	a := &app{lang: "id"}
	echo := a.function(method{"snblao", func(_ context.Context, in []any) (any, error) {
		return fmt.Sprintf("%q %v %v %q %v", in[0], in[1], in[2], in[3], in[4]), nil
	}})
	good := []any{"a\x00<b>\u2028\"", 1.5, true, eval(`["x", "ü"]`), eval("new Uint8Array([1, 255])"), eval("({})")}
	require.Equal(t, `"\"a\\x00<b>\\u2028\\\"\" 1.5 true [\"x\" \"ü\"] [1 255]"`, outcome(t, echo, good...))
	for i, bad := range [][]any{
		{1, nil, eval("({})"), true}, {"1", eval("NaN"), eval("Infinity"), 1e300}, {"true", 1, nil}, {"x", eval("[1]"), eval(`["x", null]`), eval("({length: 0})")},
		{"bytes", eval("[1, 2]"), eval("new Uint16Array(2)"), eval("new ArrayBuffer(2)")}, {nil, "object", 7},
	} {
		for _, value := range bad {
			args := append([]any(nil), good...)
			args[i] = value
			require.Equal(t, "call: "+errCall.id, outcome(t, echo, args...), "argument %d", i)
		}
		require.Equal(t, "call: "+errCall.id, outcome(t, echo, good[:i]...), "too few")
	}
	f := a.function(method{"f", func(_ context.Context, in []any) (any, error) {
		call(in[0].(js.Value), toJS(person.Event{Kind: "read", Text: "<img>"}))
		return nil, nil
	}})
	require.Equal(t, "undefined", outcome(t, f, eval("e => { globalThis.event = e }")))
	require.Equal(t, "<img>", js.Global().Get("event").Get("text").String())
	require.Equal(t, "call: "+errCall.id, outcome(t, f, "x => x"))
}

// Whatever goes wrong is an Error with a sentence and a code, and the program goes on.
func TestErrors(t *testing.T) {
	for code, err := range map[string]error{
		"second": fmt.Errorf("x: %w", keystore.ErrLocked), "nostore": fmt.Errorf("%w: x", indexeddb.ErrUnavailable),
		"full": keystore.ErrFull, "name": post.ErrName, "nonsense": post.ErrNonsense, "gone": post.ErrGone, "failed": errors.New("other"),
	} {
		said := map[string]bool{}
		for _, lang := range []string{"en", "id"} {
			a := &app{lang: lang}
			f := a.function(method{"", func(context.Context, []any) (any, error) { return nil, err }})
			text, found := strings.CutPrefix(outcome(t, f), code+": ")
			require.True(t, found, "%s: %s", code, text)
			said[text] = true
		}
		require.Len(t, said, 2, "each language has its own")
	}
	a := new(app)
	fault := a.function(method{"", func(context.Context, []any) (any, error) { panic("a fault") }})
	console := js.Global().Get("console")
	wrote := ""
	keep := js.FuncOf(func(_ js.Value, args []js.Value) any { wrote = args[0].String(); return nil })
	defer keep.Release()
	old := console.Get("error")
	console.Set("error", keep)
	require.Equal(t, "fault: "+errFault.en, outcome(t, fault))
	require.Equal(t, "page: internal error: a fault", wrote)
	console.Set("error", old)
}

// Without an account there is nothing to be done in one; a second cannot be opened.
func TestAccount(t *testing.T) {
	a := new(app)
	api := map[string]js.Func{}
	for name, m := range a.methods() {
		api[name] = a.function(m)
	}
	require.Equal(t, "closed: "+errNotOpen.en, outcome(t, api["conversations"]))
	require.Equal(t, "undefined", outcome(t, api["close"]))
	events := eval("[]")
	show := events.Get("push").Call("bind", events)
	require.Contains(t, outcome(t, api["open"], eval("({name: 'a b'})"), show), "name: ")
	require.Contains(t, outcome(t, api["open"], eval("({name: 'ani', device: 128})"), show), "name: ")
	opened := outcome(t, api["open"], eval("({name: 'toko', role: 'business', lang: 'id'})"), show)
	require.Contains(t, opened, `"role":"business"`)
	require.Equal(t, "open: "+errOpen.id, outcome(t, api["open"], eval("({name: 'ani'})"), show))
	other := new(app)
	require.Contains(t, outcome(t, other.function(other.methods()["open"]), eval("({name: 'toko'})"), show), "second: ")
	require.Equal(t, "[]", outcome(t, api["conversations"]))
	require.Equal(t, "call: "+errCall.id, outcome(t, api["timer"], "budi", -1))
	require.Equal(t, "undefined", outcome(t, api["setLang"], "en"))
	require.Equal(t, "undefined", outcome(t, api["close"]))
	require.Equal(t, "closed: "+errNotOpen.en, outcome(t, api["conversations"]))
	require.Equal(t, `[{"name":"toko","device":1}]`, outcome(t, api["accounts"]))
	again := outcome(t, api["open"], eval("({name: 'toko', role: 'person'})"), show)
	key := func(s string) string { return s[strings.Index(s, `"key":"`):][:78] }
	require.Contains(t, again, `"role":"business"`, "it stays what it is")
	require.Equal(t, key(opened), key(again))
	require.Equal(t, "undefined", outcome(t, api["close"]))
	require.NoError(t, indexeddb.Delete(t.Context(), "gembok toko 1"))
}

func TestTransport(t *testing.T) {
	do := func(method, body string, path ...string) string {
		r := &person.Request{Method: method, Path: path}
		if body != "" {
			r.Body = []byte(body)
		}
		status, answer, err := transport{}.Do(t.Context(), r)
		if err != nil {
			require.Zero(t, status)
			return err.Error()
		}
		return fmt.Sprint(status, " ", string(answer))
	}
	require.Equal(t, "404 GET /echo/a%2Fb%20%3F%23%C3%BC 0", do("GET", "", "echo", "a/b ?#ü"))
	require.Equal(t, "404 PUT /echo 5", do("PUT", "\x00\xff<b>", "echo"))
	require.Equal(t, "404 DELETE /echo 0", do("DELETE", "", "echo"))
	for _, path := range []string{"none", "wrong", "large", "..", ".", ""} {
		require.Equal(t, post.ErrNonsense.Error(), do("GET", "", path), path)
	}
	require.Equal(t, "no answer", do("GET", "", "hang-up"))
}

// An upload and a download tell how far they are; one that is given up ends.
func TestTransportProgress(t *testing.T) {
	for _, r := range []*person.Request{
		{Method: "PUT", Path: []string{"echo"}, Body: make([]byte, 3<<20)}, {Method: "GET", Path: []string{"file"}},
	} {
		var seen []int64
		r.Progress = func(done, total int64) {
			require.EqualValues(t, 3<<20, total)
			seen = append(seen, done)
			time.Sleep(time.Millisecond) // what a page is given to draw
		}
		_, _, err := transport{}.Do(t.Context(), r)
		require.NoError(t, err)
		require.NotEmpty(t, seen)
		require.IsNonDecreasing(t, seen)
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, _, err := transport{}.Do(ctx, &person.Request{Method: "GET", Path: []string{"slow"}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

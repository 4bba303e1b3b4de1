package browser

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/stretchr/testify/require"
)

// A Record is what a page did since it was opened, in the order in which it did
// it. Its methods return copies.
type Record struct {
	mu                                 sync.Mutex
	requests, console, errors, dialogs []string
}

// Requests are the URLs of all that the page asked for.
func (r *Record) Requests() []string { return r.copy(&r.requests) }

// Console are the lines that the page wrote to the console, errors included.
func (r *Record) Console() []string { return r.copy(&r.console) }

// Errors are what a browser shows in red: errors that were written to the console,
// by the page or by the browser about it, uncaught exceptions, and crashes.
func (r *Record) Errors() []string { return r.copy(&r.errors) }

// Dialogs are the texts of the dialogs of the browser that the page opened. All
// were dismissed.
func (r *Record) Dialogs() []string { return r.copy(&r.dialogs) }

func (r *Record) copy(list *[]string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(*list)
}

// Clean requires that the page had no error and opened no dialog, and that
// whatever it asked for is of loopback.
func (p *Page) Clean() {
	p.t.Helper()
	require.Empty(p.t, p.Errors(), "errors of the page")
	require.Empty(p.t, p.Dialogs(), "dialogs of the page")
	require.NotEmpty(p.t, p.Requests(), "what the page asked for")
	for _, r := range p.Requests() {
		require.True(p.t, local(r), "the page asked for %s", r)
	}
}

// local tells whether what a URL names is had without leaving the machine.
func local(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "data", "blob", "about":
		return true
	case "http", "ws":
		return slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname()) || strings.HasSuffix(u.Hostname(), ".localhost")
	}
	return false
}

// listen is called with each event of the page, in their order.
func (r *Record) listen(event any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r.requests = append(r.requests, e.Request.URL)
	case *network.EventWebSocketCreated:
		r.requests = append(r.requests, e.URL)
	case *runtime.EventConsoleAPICalled:
		r.said(e)
	case *runtime.EventExceptionThrown:
		r.errors = append(r.errors, "uncaught: "+thrown(e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			r.errors = append(r.errors, string(e.Entry.Source)+": "+e.Entry.Text+" "+e.Entry.URL)
		}
	case *inspector.EventTargetCrashed:
		r.errors = append(r.errors, "the page crashed")
	case *page.EventJavascriptDialogOpening:
		r.dialogs = append(r.dialogs, e.Message)
	}
}

func (r *Record) said(e *runtime.EventConsoleAPICalled) {
	var words []string
	for _, a := range e.Args {
		words = append(words, shown(a))
	}
	line := strings.Join(words, " ")
	r.console = append(r.console, line)
	if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
		r.errors = append(r.errors, "console: "+line)
	}
}

// shown is a value as the console shows it.
func shown(v *runtime.RemoteObject) string {
	var s string
	switch {
	case json.Unmarshal(v.Value, &s) == nil:
		return s
	case v.Description != "":
		return v.Description
	}
	return string(v.Value)
}

func thrown(e *runtime.ExceptionDetails) string {
	if e.Exception != nil {
		return shown(e.Exception)
	}
	return e.Text
}

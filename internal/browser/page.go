package browser

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A Page is a tab. Its methods end the test where the browser fails, so they
// belong to the goroutine of the test.
type Page struct {
	*Record
	t   testing.TB
	ctx context.Context
}

// Open opens a page, and returns once it has loaded.
func (b *Browser) Open(t testing.TB, url string) *Page {
	t.Helper()
	p := b.Blank(t)
	p.Navigate(url)
	return p
}

// Blank opens an empty page, for what is to be told to a page before it loads.
func (b *Browser) Blank(t testing.TB) *Page {
	t.Helper()
	record := &Record{}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(record.listen))
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	p := &Page{record, t, ctx}
	go p.dismiss(chromedp.Events(ctx, page.JavascriptDialogOpening))
	Call(p, network.Enable, network.EnableParams{})
	// Each page behaves as the one in front does.
	Call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return p
}

// Context is the page's, for calls of chromedp. It has no deadline.
func (p *Page) Context() context.Context { return p.ctx }

// Do does what chromedp has actions for.
func (p *Page) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, steps...))
}

// Call calls the browser by its protocol, about a page.
func Call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	require.NoError(p.t, err, command.Method)
	return result
}

// dismiss answers each dialog of the browser, which would hold the page up.
func (p *Page) dismiss(opened iter.Seq2[page.EventJavascriptDialogOpening, error]) {
	for _, err := range opened {
		if err != nil {
			return
		}
		_, _ = chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
	}
}

// Navigate loads another document into the page.
func (p *Page) Navigate(url string) {
	p.t.Helper()
	p.Do(chromedp.Navigate(url))
}

// Reload loads the page's document again.
func (p *Page) Reload() {
	p.t.Helper()
	p.Do(chromedp.Reload())
}

// Close closes the page, as a person closes a tab.
func (p *Page) Close() {
	p.t.Helper()
	require.NoError(p.t, chromedp.Cancel(p.ctx))
}

// Before runs a script in each document that is loaded from now on, before the
// document's own.
func (p *Page) Before(script string) {
	p.t.Helper()
	Call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// Resize makes the page as large as a window of some size, in CSS pixels.
func (p *Page) Resize(width, height int64) {
	p.t.Helper()
	p.Do(chromedp.EmulateViewport(width, height))
}

// Media sets what a media query asks for, as in Media("prefers-color-scheme", "dark").
func (p *Page) Media(feature, value string) {
	p.t.Helper()
	Call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// Eval returns the value of an expression in a page; of a Promise, what it comes
// to. Where it throws, the test ends.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	v, err := TryEval[T](p, expression)
	require.NoError(p.t, err, "%.200s", expression)
	return v
}

// TryEval is Eval that may fail: because of the expression, or because the page
// is loaded anew or ends meanwhile.
func TryEval[T any](p *Page, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// await looks again and again whether an expression is true, for a while, in the page,
// which takes less than to ask for it from here.
const await = `(async () => {
	const holds = () => !!(%s)
	for (const end = performance.now() + 500; performance.now() < end; await new Promise(r => setTimeout(r, 10))) {
		try { if (holds()) return true } catch {}
	}
	return holds()
})()`

// Wait waits until an expression is true in the page. It may throw before, as
// where an element is not there yet.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	p.WaitFor(patience, expression)
}

// WaitFor is Wait with a patience of its own.
func (p *Page) WaitFor(limit time.Duration, expression string) {
	p.t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var holds bool
		if holds, err = TryEval[bool](p, fmt.Sprintf(await, expression)); holds {
			return
		}
		if p.ctx.Err() != nil {
			break
		}
	}
	p.Screenshot("failed " + p.t.Name())
	require.FailNow(p.t, "never true in the page", "%s\nlast error: %v\nconsole: %q\nerrors: %q\nthe page shows: %.2000s",
		expression, err, p.Console(), p.Errors(), p.text())
}

// text is what the page shows, for a message.
func (p *Page) text() string {
	s, err := TryEval[string](p, "document.body.innerText")
	if err != nil {
		return err.Error()
	}
	return s
}

// Screenshot writes a picture of the page to screenshots/name.png, which is
// beside the test and not kept.
func (p *Page) Screenshot(name string) {
	p.t.Helper()
	fast := true // files are larger, and nobody keeps them
	png := Call(p, page.CaptureScreenshot, page.CaptureScreenshotParams{OptimizeForSpeed: &fast}).Data
	file := filepath.Join("screenshots", url.PathEscape(name)+".png")
	require.NoError(p.t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(p.t, os.WriteFile(file, png, 0o644))
}

// Package browser runs pages in a headless Chromium, for tests: it starts the
// browser, opens pages, and remembers what they asked for, wrote to the console
// and failed with.
//
// A test skips where there is no Chromium, unless GEMBOK_BROWSER=1 is set: then
// it fails.
package browser

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// patience is how long a page may take for one step.
const patience = 30 * time.Second

// A Browser is a Chromium that runs, or a context of one: its pages share their
// storage, and see none of another context's. It belongs to one test.
type Browser struct {
	ctx     context.Context
	profile string
}

// Start starts a browser, which ends with the test.
func Start(t testing.TB) *Browser {
	t.Helper()
	return StartIn(t, t.TempDir())
}

// StartIn starts a browser on a profile that an earlier one may have left, whose
// storage it then has.
func StartIn(t testing.TB, profile string) *Browser {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options(t, profile)...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	require.NoError(t, chromedp.Do(ctx), "Chromium does not start")
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // also where the test has killed it
	return &Browser{ctx, profile}
}

// Profile is the directory that StartIn takes.
func (b *Browser) Profile() string { return b.profile }

// Kill ends the browser at once, as a crash does, and waits until it is gone.
func (b *Browser) Kill(t testing.TB) {
	t.Helper()
	c := chromedp.FromContext(b.ctx).Browser
	require.NoError(t, c.Process().Kill())
	<-c.LostConnection
}

// Apart returns a context of the same browser that shares no storage with b, as
// a private window does. It ends with the test.
func (b *Browser) Apart(t testing.TB) *Browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	return &Browser{ctx, b.profile}
}

// find looks for a Chromium.
func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no chromium, chromium-browser or google-chrome in PATH"
	if os.Getenv("GEMBOK_BROWSER") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// options are such that nothing reaches anything but loopback, whatever a page
// or the browser itself asks for.
func options(t testing.TB, profile string) []chromedp.ExecAllocatorOption {
	t.Helper()
	o := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t)),
		chromedp.UserDataDir(profile),
		chromedp.WindowSize(1280, 900),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost , EXCLUDE *.localhost"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
	)
	if os.Geteuid() == 0 {
		o = append(o, chromedp.NoSandbox)
	}
	return o
}

package browser_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// aFile makes a file of so many bytes, and returns its path and content.
func (s *server) aFile(name string, size int) (path string, content []byte) {
	s.t.Helper()
	content = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
	path = filepath.Join(s.t.TempDir(), name)
	require.NoError(s.t, os.WriteFile(path, content, 0o600))
	return path, content
}

// attaches sends a file.
func (p *someone) attaches(path string) {
	p.t.Helper()
	p.wait("!eyes.at('attach').disabled")
	p.Do(chromedp.SetUploadFiles(`[data-testid="attach-input"]`, []string{path}))
}

// watches notes how far a bar of progress goes, of which an expression is the element.
func (p *someone) watches(bar string) {
	p.t.Helper()
	p.holds(`(e => {
		eyes.bar = []
		new MutationObserver(() => { if (e.hasAttribute("value")) eyes.bar.push(e.value / e.max) }).observe(e, {attributes: true})
		return true
	})(` + bar + `)`)
}

// wentUp requires that the bar that is watched went up, to its end.
func (p *someone) wentUp() {
	p.t.Helper()
	p.wait("eyes.bar.at(-1) === 1")
	bar := browser.Eval[[]float64](p.Page, "eyes.bar")
	require.True(p.t, slices.IsSorted(bar), "progress goes back: %v", bar)
}

// downloads returns what the page offers to save when something is done.
func (p *someone) downloads(do func()) (name string, content []byte) {
	p.t.Helper()
	dir := p.t.TempDir()
	info := browser.Call(p.Page, target.GetTargetInfo, target.GetTargetInfoParams{})
	browser.Call(p.Page, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: "allow", BrowserContextID: info.TargetInfo.BrowserContextID, DownloadPath: dir,
	})
	do()
	require.Eventually(p.t, func() bool {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || strings.HasSuffix(entries[0].Name(), ".crdownload") {
			return false
		}
		name = entries[0].Name()
		content, err = os.ReadFile(filepath.Join(dir, name))
		return err == nil && len(content) > 0
	}, patience, poll, "nothing is downloaded")
	return name, content
}

// file is an expression for something in the message with a file of that name.
func file(name, part string) string {
	return js(`eyes.all("message").find(m => m.querySelector('[data-testid="file"]')?.dataset.name === %s).querySelector('[data-testid="`+part+`"]')`, name)
}

// saves downloads the file of that name in the open conversation.
func (p *someone) saves(name string) (as string, content []byte) {
	p.t.Helper()
	p.watches(file(name, "file-progress"))
	as, content = p.downloads(func() { p.clickOn(file(name, "file-get")) })
	p.wentUp()
	return as, content
}

// A file comes as it was, with a bar that shows how far it is; its name is shown, and
// is no path on the other side.
func files(s *server) {
	ani, budi := s.pair()
	path, content := s.aFile("pemandangan.bin", 1<<20)
	ani.watches("eyes.at('attach-progress')")
	ani.attaches(path)
	ani.wentUp()
	ani.hides("attach-progress")
	budi.reads("pemandangan.bin")
	budi.shot("a file came")
	as, got := budi.saves("pemandangan.bin")
	require.Equal(s.t, "pemandangan.bin", as)
	require.True(s.t, bytes.Equal(content, got), "another content")
	as, got = ani.saves("pemandangan.bin")
	require.Equal(s.t, "pemandangan.bin", as)
	require.True(s.t, bytes.Equal(content, got), "another content, of one's own")

	for _, name := range []string{`<img src=x onerror=alert(1)>.svg`, "../../.bashrc", "gambar\u202egpj.exe", ""} {
		before := browser.Eval[int](budi.Page, "eyes.messages(false).length")
		_ = browser.Eval[any](ani.Page, js("eyes.api.sendFile('budi', %s, new Uint8Array([1, 2, 3]), () => {}).then(() => 1)", name))
		budi.wait("eyes.messages(false).length === %v", before+1)
		if name == "" { // whatever it is called then
			name = browser.Eval[string](budi.Page, "eyes.messages(false).at(-1)")
		}
		budi.reads(name)
		as, got := budi.downloads(func() { budi.clickOn(file(name, "file-get")) })
		require.Equal(s.t, []byte{1, 2, 3}, got)
		require.NotContains(s.t, as, "\u202e")
		require.NotEqual(s.t, byte('.'), as[0])
	}
	budi.is("document.querySelectorAll('img, [onerror]').length === 0")
	budi.shot("hostile names")
	interruptedFile(s, ani, budi)
}

// interruptedFile reloads the page while a file is on its way to the relay, and another
// while it is on its way from there.
func interruptedFile(s *server, ani, budi *someone) {
	for _, served := range []bool{false, true} {
		name := map[bool]string{false: "belum sampai.bin", true: "sudah sampai.bin"}[served]
		path, content := s.aFile(name, 100_000)
		at := s.stalls("PUT", "/relay/file/", served)
		ani.attaches(path)
		at.wait(s.t)
		ani.reloads()
		ani.turns("budi")
		budi.reads(name)
		_, got := budi.saves(name)
		require.True(s.t, bytes.Equal(content, got), "another content")
		ani.wait("eyes.count(true, %s) === 1", name)
	}
	at := s.stalls("GET", "/relay/file/", false)
	budi.clickOn(file("sudah sampai.bin", "file-get"))
	at.wait(s.t)
	budi.reloads()
	budi.turns("ani")
	budi.reads("belum sampai.bin", "sudah sampai.bin")
	_, got := budi.saves("sudah sampai.bin")
	require.Len(s.t, got, 100_000)
}

// All of one's data is one file, which the key that is shown opens.
func export(s *server) {
	ani, _ := s.pair()
	ani.click("export-open")
	ani.shows("export-dialog")
	ani.watches("eyes.at('export-progress')")
	ani.click("export-start")
	ani.shows("export-link")
	ani.wentUp()
	ani.accessible()
	ani.shot("export")
	name, archive := ani.downloads(func() { ani.click("export-link") })
	require.Contains(s.t, name, "ani")
	key, err := hosting.ParseArchiveKey(ani.value("export-key"))
	require.NoError(s.t, err)
	counts, err := hosting.VerifyArchive(bytes.NewReader(archive), key, nil)
	require.NoError(s.t, err)
	require.NotZero(s.t, counts["app"])
	s.t.Logf("the archive has %d bytes, and records: %v", len(archive), counts)

	var texts []string
	for record, err := range hosting.ReadArchive(bytes.NewReader(archive), key, nil) {
		require.NoError(s.t, err)
		var line struct{ Conversation, Kind, Text string }
		if record.Type == "app" {
			require.NoError(s.t, json.Unmarshal(record.Data, &line))
			if line.Kind == "message" {
				texts = append(texts, line.Conversation+": "+line.Text)
			}
		}
	}
	require.ElementsMatch(s.t, []string{"budi: halo Budi", "budi: hello Ani"}, texts)
	_, err = hosting.VerifyArchive(bytes.NewReader(archive), hosting.GenerateArchiveKey(), nil)
	require.Error(s.t, err)
	ani.click("export-close")
	ani.wait("eyes.at('export-key').value === ''")
}

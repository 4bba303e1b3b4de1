//go:build js && wasm

package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/indexeddb"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// prefix begins the names of the databases of accounts, "gembok NAME DEVICE".
const prefix = "gembok "

// An app is what the page has of gembok: one account at a time.
type app struct {
	mu      sync.Mutex
	lang    string
	account *account // that is open, or is being opened
}

// An account is one that is open.
type account struct {
	ctx    context.Context // of all that is done in it
	stop   context.CancelFunc
	store  keystore.Store
	person *person.Person // nil while it is being opened
	ended  chan struct{}  // closed once nothing runs any more, and the store is closed
}

func (a *app) language() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lang
}

func (a *app) setLang(lang string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lang = lang
	if a.account != nil && a.account.person != nil {
		a.account.person.SetLang(lang)
	}
}

// current returns the account that is open, or nil.
func (a *app) current() *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.account == nil || a.account.person == nil {
		return nil
	}
	return a.account
}

// A wish says which account is to be opened, and what a new one is to be.
type wish struct {
	me   session.Address
	role person.Role
	lang string
}

// open opens an account, or makes it, and has it send and receive. It may take long: a
// further device waits until it is linked.
func (a *app) open(w *wish, screen person.Screen) (*person.Person, error) {
	now := &account{ended: make(chan struct{})}
	now.ctx, now.stop = context.WithCancel(context.Background())
	a.mu.Lock()
	if a.account != nil {
		a.mu.Unlock()
		return nil, errOpen
	}
	a.account, a.lang = now, w.lang
	a.mu.Unlock()
	p, err := now.begin(w, screen)
	if err != nil {
		now.end()
		a.mu.Lock()
		a.account = nil
		a.mu.Unlock()
		return nil, err
	}
	a.mu.Lock()
	now.person = p
	p.SetLang(a.lang) // it may have been changed meanwhile
	a.mu.Unlock()
	go now.run(screen)
	go now.persist()
	return p, nil
}

func (now *account) begin(w *wish, screen person.Screen) (*person.Person, error) {
	store, err := indexeddb.Open(now.ctx, prefix+post.NameOf(w.me.User)+" "+strconv.Itoa(int(w.me.Device)))
	if err != nil {
		return nil, err
	}
	now.store = store
	return person.Open(now.ctx, store, w.me, w.role, person.NewClient(transport{}), screen, &person.Options{Lang: w.lang})
}

// run sends and receives until the account is closed.
func (now *account) run(screen person.Screen) {
	if err := now.person.Run(now.ctx); err != nil && now.ctx.Err() == nil {
		_, text := now.person.Plain(err)
		screen.Show(person.Event{Kind: person.TroubleEvent, Text: text})
	}
	<-now.ctx.Done()
	now.end()
}

// persist asks the browser not to clear what is kept here when it is short of room. It
// may say no.
func (now *account) persist() {
	if storage := js.Global().Get("navigator").Get("storage"); storage.Truthy() && storage.Get("persist").Truthy() {
		_, _ = await(now.ctx, storage.Call("persist"))
	}
}

// end closes the store, which lets another tab have it.
func (now *account) end() {
	now.stop()
	if now.store != nil {
		_ = now.store.Close()
	}
	close(now.ended)
}

// close closes the account that is open, if there is one.
func (a *app) close() {
	a.mu.Lock()
	now := a.account
	a.mu.Unlock()
	if now == nil {
		return
	}
	now.stop()
	<-now.ended
	a.mu.Lock()
	if a.account == now {
		a.account = nil
	}
	a.mu.Unlock()
}

// closeWithPage closes the account when the page is left for good, as far as a browser
// lets it: what is left behind is in order at any moment.
func (a *app) closeWithPage() {
	js.Global().Call("addEventListener", "pagehide", js.FuncOf(func(_ js.Value, args []js.Value) any {
		if !args[0].Get("persisted").Truthy() {
			go a.close()
		}
		return nil
	}))
}

// accounts returns those that have a database here.
func accounts(ctx context.Context) ([]session.Address, error) {
	list, err := indexeddb.Databases(ctx, prefix)
	if err != nil {
		return nil, err
	}
	all := []session.Address{}
	for _, name := range list {
		user, device, _ := strings.Cut(strings.TrimPrefix(name, prefix), " ")
		n, err := strconv.ParseUint(device, 10, 32)
		if err == nil {
			all = append(all, session.Address{User: user, Device: uint32(n)})
		}
	}
	return all, nil
}

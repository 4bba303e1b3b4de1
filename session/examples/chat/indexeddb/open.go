//go:build js && wasm

package indexeddb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// databaseVersion is what the browser compares. A newer release that needs other
// object stores raises it.
const databaseVersion = 1

// Open opens the store of a name, and makes it if there is none. It is
// [ErrUnavailable] where the browser has none to give, [keystore.ErrLocked] where
// someone has it open, and [keystore.ErrNewerFormat] where a newer release has
// made it.
func Open(ctx context.Context, name string) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	factory, err := property(js.Global(), "indexedDB")
	if err != nil {
		return nil, err
	}
	unlock, err := lock(name)
	if err != nil {
		return nil, err
	}
	db, err := connect(ctx, factory, name, unlock)
	if err != nil {
		return nil, err
	}
	s := &Store{opened: true, db: db, cut: make(chan struct{}), unlock: unlock}
	s.watch()
	if err := s.check(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connect opens a database. Where ctx ends first, which does not stop the
// browser, what becomes of it is closed later; unlock is called when there is
// nothing open.
func connect(ctx context.Context, factory js.Value, name string, unlock func()) (js.Value, error) {
	request, err := call(factory, "open", name, databaseVersion)
	if err != nil {
		unlock()
		return js.Value{}, refused(err)
	}
	create := js.FuncOf(func(js.Value, []js.Value) any { createStores(request); return nil })
	request.Set("onupgradeneeded", create)
	opened := answered(request)
	end := func(a answer) {
		create.Release()
		if a.err == nil {
			a.value.Call("close")
		}
		unlock()
	}
	select {
	case a := <-opened:
		if a.err != nil {
			end(a)
			return js.Value{}, refused(a.err)
		}
		create.Release()
		return a.value, nil
	case <-ctx.Done():
		go func() { end(<-opened) }()
		return js.Value{}, ctx.Err()
	}
}

// createStores makes what a new database holds, in the transaction in which the
// browser makes it.
func createStores(request js.Value) {
	db := request.Get("result")
	db.Call("createObjectStore", recordStore)
	meta := db.Call("createObjectStore", metaStore)
	meta.Call("put", 0, generation)
	meta.Call("put", formatNow, format)
}

// watch lets the store end when the browser takes the database away, or someone
// wants to delete it or to make a newer one of it, who would have to wait.
func (s *Store) watch() {
	s.lost = js.FuncOf(func(_ js.Value, args []js.Value) any {
		s.gone = true
		if args[0].Get("type").String() == "close" {
			close(s.cut)
		} else {
			s.db.Call("close") // after the transactions that are under way
		}
		return nil
	})
	s.db.Set("onclose", s.lost)
	s.db.Set("onversionchange", s.lost)
}

func (s *Store) disconnect() {
	s.db.Set("onclose", nil)
	s.db.Set("onversionchange", nil)
	s.lost.Release()
	s.db.Call("close")
}

// check requires the format that is known here.
func (s *Store) check(ctx context.Context) error {
	var found js.Value
	err := s.run(ctx, readonly, func(t *transaction) (err error) {
		found, err = t.request(t.meta, "get", format)
		return err
	}, nil)
	if err != nil {
		return err
	}
	n, err := number(found.Get("result"))
	switch {
	case err != nil || n == 0:
		return errForm
	case n > formatNow:
		return fmt.Errorf("%w: format %d, known is %d", keystore.ErrNewerFormat, n, formatNow)
	}
	return nil
}

// lock takes the lock of a database, if it is free. Whoever has it calls unlock
// once, which returns when others can have it.
func lock(name string) (unlock func(), err error) {
	navigator, err := property(js.Global(), "navigator")
	if err != nil {
		return nil, err
	}
	locks, err := property(navigator, "locks")
	if err != nil {
		return nil, err
	}
	held, letGo := promise()
	granted := make(chan bool, 1)
	grant := js.FuncOf(func(_ js.Value, args []js.Value) any {
		granted <- args[0].Truthy()
		if args[0].Truthy() {
			return held
		}
		return nil
	})
	request, err := call(locks, "request", "gembok store "+name, map[string]any{"ifAvailable": true}, grant)
	if err != nil {
		grant.Release()
		return nil, refused(err)
	}
	ended := settled(request)
	unlock = func() {
		letGo.Invoke()
		<-ended
		grant.Release()
	}
	select {
	case is := <-granted:
		if is {
			return unlock, nil
		}
		unlock()
		return nil, keystore.ErrLocked
	case a := <-ended:
		grant.Release()
		if a.err == nil {
			return nil, keystore.ErrLocked
		}
		return nil, refused(a.err)
	}
}

// Databases returns the names of the databases of this origin that begin with
// prefix, in order. Of some it may be that they are no store.
func Databases(ctx context.Context, prefix string) (names []string, err error) {
	factory, err := property(js.Global(), "indexedDB")
	if err != nil {
		return nil, err
	}
	if _, err := property(factory, "databases"); err != nil { // younger than the rest
		return nil, err
	}
	list, err := call(factory, "databases")
	if err != nil {
		return nil, refused(err)
	}
	select {
	case a := <-settled(list):
		if a.err != nil {
			return nil, refused(a.err)
		}
		for i := range a.value.Length() {
			if name := a.value.Index(i).Get("name").String(); strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Delete deletes a database, which nobody may have open: that is
// [keystore.ErrLocked]. There need be none. Where ctx ends first, the browser may
// still delete it.
func Delete(ctx context.Context, name string) error {
	factory, err := property(js.Global(), "indexedDB")
	if err != nil {
		return err
	}
	unlock, err := lock(name)
	if err != nil {
		return err
	}
	request, err := call(factory, "deleteDatabase", name)
	if err != nil {
		unlock()
		return refused(err)
	}
	deleted := answered(request)
	select {
	case a := <-deleted:
		unlock()
		return a.err
	case <-ctx.Done():
		go func() { <-deleted; unlock() }()
		return ctx.Err()
	}
}

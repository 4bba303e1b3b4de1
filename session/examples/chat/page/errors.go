//go:build js && wasm

package main

import (
	"errors"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/examples/chat/indexeddb"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// A failure is what goes wrong in the page itself.
type failure struct{ code, en, id string }

func (f *failure) Error() string { return f.en }

var (
	errCall    = &failure{"call", "the page called the program wrongly; reload it", "halaman memanggil program dengan salah; muat ulang"}
	errFault   = &failure{"fault", "something went wrong in the program; reload the page, nothing is lost", "ada yang salah dalam program; muat ulang halaman, tidak ada yang hilang"}
	errNotOpen = &failure{"closed", "no account is open", "tidak ada akun yang terbuka"}
	errOpen    = &failure{"open", "an account is open already", "sudah ada akun yang terbuka"}
	errSecond  = &failure{"second", "this account is open in another tab; close it there first", "akun ini terbuka di tab lain; tutup dahulu di sana"}
	errNoStore = &failure{"nostore", "this browser keeps nothing for this page (a private window may be the reason), so that no account can be made here",
		"peramban ini tidak menyimpan apa pun untuk halaman ini (mungkin karena jendela privat), sehingga akun tidak dapat dibuat di sini"}
)

// errorToJS returns an Error for err.
func (a *app) errorToJS(err error) js.Value {
	code, text := a.plain(err)
	e := js.Global().Get("Error").New(text)
	e.Set("code", code)
	return e
}

// plain says what went wrong.
func (a *app) plain(err error) (code, text string) {
	own := (*failure)(nil)
	switch {
	case errors.As(err, &own):
	case errors.Is(err, keystore.ErrLocked):
		own = errSecond
	case errors.Is(err, indexeddb.ErrUnavailable):
		own = errNoStore
	default:
		return person.Plain(a.language(), err)
	}
	if a.language() == "id" {
		return own.code, own.id
	}
	return own.code, own.en
}

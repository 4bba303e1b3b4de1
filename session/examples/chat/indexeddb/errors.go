//go:build js && wasm

package indexeddb

import (
	"errors"
	"fmt"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// ErrUnavailable reports that the browser gives the page no database: it has no
// IndexedDB or no navigator.locks, as in a page that is not of a secure context,
// it refuses, as in some private windows, or it has closed the database.
var ErrUnavailable = errors.New("indexeddb: not available")

var errGone = fmt.Errorf("%w: the browser has closed the database", ErrUnavailable)

// A browserError is the name of an exception. What else an exception says may
// hold what nobody is to see.
type browserError string

func (e browserError) Error() string { return "indexeddb: the browser says " + string(e) }

// translate turns an exception into an error.
func translate(exception js.Value) error {
	name := browserError("no reason")
	if exception.Type() == js.TypeObject {
		name = browserError(exception.Get("name").String())
	}
	switch name {
	case "QuotaExceededError":
		return fmt.Errorf("%w: %w", keystore.ErrFull, name)
	case "VersionError":
		return fmt.Errorf("%w: %w", keystore.ErrNewerFormat, name)
	case "NotFoundError": // an object store
		return fmt.Errorf("%w: %w", keystore.ErrCorrupt, name)
	}
	return name
}

// refused is an error by which a database was not opened.
func refused(err error) error {
	for _, said := range []error{keystore.ErrFull, keystore.ErrNewerFormat, keystore.ErrCorrupt} {
		if errors.Is(err, said) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// call calls a method; an exception that it throws is the error.
func call(v js.Value, method string, args ...any) (result js.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			thrown, ok := r.(js.Error)
			if !ok {
				panic(r)
			}
			err = translate(thrown.Value)
		}
	}()
	return v.Call(method, args...), nil
}

// property returns a property of an object, for those that may be missing or
// throw.
func property(v js.Value, name string) (js.Value, error) {
	p, err := call(js.Global().Get("Reflect"), "get", v, name)
	if err == nil && !p.Truthy() {
		err = errors.New("indexeddb: there is no " + name)
	}
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return p, nil
}

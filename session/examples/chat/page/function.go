//go:build js && wasm

package main

import (
	"context"
	"math"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// A method is a function of the API. takes has a letter for each argument: s for a
// string, n for a number, b for a boolean, l for a list of strings, a for a Uint8Array, o
// for an object, f for a function.
type method struct {
	takes string
	do    func(ctx context.Context, in []any) (any, error)
}

// inAccount makes a method of what is done in the account that is open.
func (a *app) inAccount(takes string, do func(ctx context.Context, p *person.Person, in []any) (any, error)) method {
	return method{takes, func(_ context.Context, in []any) (any, error) {
		now := a.current()
		if now == nil {
			return nil, errNotOpen
		}
		return do(now.ctx, now.person, in)
	}}
}

// function makes a function of the page of a method. It is never released.
func (a *app) function(m method) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		promise, resolve, reject := newPromise()
		in, err := m.arguments(args)
		if err != nil {
			reject.Invoke(a.errorToJS(err))
			return promise
		}
		go func() {
			defer func() { // a fault of ours does not end what else runs here
				if fault := recover(); fault != nil {
					js.Global().Get("console").Call("error", describe(fault))
					reject.Invoke(a.errorToJS(errFault))
				}
			}()
			out, err := m.do(context.Background(), in)
			if err != nil {
				reject.Invoke(a.errorToJS(err))
				return
			}
			resolve.Invoke(toJS(out))
		}()
		return promise
	})
}

// describe says what a panic was about.
func describe(fault any) string {
	if err, ok := fault.(error); ok {
		return err.Error()
	}
	text, _ := fault.(string)
	return "page: internal error: " + text
}

// arguments returns the arguments of a call: strings, float64s, bools, []strings, []bytes
// and js.Values.
func (m method) arguments(args []js.Value) (in []any, err error) {
	if len(args) < len(m.takes) {
		return nil, errCall
	}
	for i, kind := range m.takes {
		value, ok := argument(kind, args[i])
		if !ok {
			return nil, errCall
		}
		in = append(in, value)
	}
	return in, nil
}

func argument(kind rune, v js.Value) (value any, ok bool) {
	switch kind {
	case 's':
		return v.String(), v.Type() == js.TypeString
	case 'n':
		if v.Type() != js.TypeNumber {
			return nil, false
		}
		return v.Float(), !math.IsNaN(v.Float()) && math.Abs(v.Float()) < 1<<53
	case 'b':
		return v.Truthy(), v.Type() == js.TypeBoolean
	case 'o':
		return v, v.Type() == js.TypeObject
	case 'f':
		return v, v.Type() == js.TypeFunction
	case 'l':
		return stringsFromJS(v)
	}
	return bytesFromJS(v)
}

func stringsFromJS(v js.Value) (list []string, ok bool) {
	if !v.InstanceOf(js.Global().Get("Array")) {
		return nil, false
	}
	for i := range v.Length() {
		if v.Index(i).Type() != js.TypeString {
			return nil, false
		}
		list = append(list, v.Index(i).String())
	}
	return list, true
}

func bytesFromJS(v js.Value) (b []byte, ok bool) {
	if !v.InstanceOf(js.Global().Get("Uint8Array")) {
		return nil, false
	}
	b = make([]byte, min(v.Length(), person.MaxFile+1)) // more is too large in any case, and might be for the memory
	js.CopyBytesToGo(b, v)
	return b, true
}

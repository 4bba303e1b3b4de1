//go:build js && wasm

package main

import (
	"context"
	"encoding/json"
	"syscall/js"
)

// newPromise returns a Promise and what settles it.
func newPromise() (promise, resolve, reject js.Value) {
	executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject = args[0], args[1]
		return nil
	})
	defer executor.Release()
	promise = js.Global().Get("Promise").New(executor)
	return promise, resolve, reject
}

// await waits for a Promise. The error is a js.Error with what it was rejected with.
func await(ctx context.Context, promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	resolved := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{value: args[0]}
		return nil
	})
	rejected := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{err: js.Error{Value: args[0]}}
		return nil
	})
	release := func() { resolved.Release(); rejected.Release() }
	promise.Call("then", resolved, rejected)
	select {
	case o := <-settled:
		release()
		return o.value, o.err
	case <-ctx.Done():
		go func() { <-settled; release() }() // it calls one of them yet
		return js.Value{}, ctx.Err()
	}
}

// toJS returns v as JavaScript has it: structs by way of their JSON, nil as undefined.
func toJS(v any) js.Value {
	switch v := v.(type) {
	case nil:
		return js.Undefined()
	case js.Value:
		return v
	case string:
		return js.ValueOf(v)
	case []byte:
		return bytesToJS(v)
	case map[string]any: // may have bytes
		object := js.Global().Get("Object").New()
		for name, value := range v {
			object.Set(name, toJS(value))
		}
		return object
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("page: internal error: " + err.Error())
	}
	return js.Global().Get("JSON").Call("parse", string(b))
}

// bytesToJS returns a Uint8Array.
func bytesToJS(b []byte) js.Value {
	array := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(array, b)
	return array
}

// call calls a function of the page. What it throws is the page's business.
func call(f js.Value, args ...any) {
	defer func() {
		if thrown, ok := recover().(js.Error); ok {
			js.Global().Get("console").Call("error", thrown.Value)
		}
	}()
	f.Invoke(args...)
}

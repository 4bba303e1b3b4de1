//go:build js && wasm

package indexeddb

import "syscall/js"

// An answer is what the browser says in the end: a value, or why there is none.
type answer struct {
	value js.Value
	err   error
}

// answered receives the answer to a request that is in no transaction.
func answered(request js.Value) <-chan answer {
	c := make(chan answer, 1)
	var end js.Func
	end = js.FuncOf(func(_ js.Value, args []js.Value) any {
		end.Release()
		if args[0].Get("type").String() == "success" {
			c <- answer{value: request.Get("result")}
		} else {
			c <- answer{err: translate(request.Get("error"))}
		}
		return nil
	})
	request.Set("onsuccess", end)
	request.Set("onerror", end)
	return c
}

// settled receives what a promise comes to.
func settled(promise js.Value) <-chan answer {
	c := make(chan answer, 1)
	var kept, broken js.Func
	end := func(a answer) any {
		kept.Release()
		broken.Release()
		c <- a
		return nil
	}
	kept = js.FuncOf(func(_ js.Value, args []js.Value) any { return end(answer{value: args[0]}) })
	broken = js.FuncOf(func(_ js.Value, args []js.Value) any { return end(answer{err: translate(args[0])}) })
	promise.Call("then", kept, broken)
	return c
}

// promise returns a promise, and the function that keeps it.
func promise() (p, keep js.Value) {
	take := js.FuncOf(func(_ js.Value, args []js.Value) any { keep = args[0]; return nil })
	defer take.Release()
	return js.Global().Get("Promise").New(take), keep
}

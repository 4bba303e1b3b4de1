//go:build js && wasm

// Page is the program of the chat's page: gembok, an account whose keys and messages
// are in the browser, and functions for the page's JavaScript. It knows nothing of what
// the page looks like.
//
// When it is ready it calls gembokReady with an object of those functions, which are in
// api.go. Each returns a Promise; what goes wrong is an Error with a readable message, in
// the chosen language, and a short word as its code.
//
// What is passed to the page is data. To show it as anything else than text would be the
// page's fault.
package main

import "syscall/js"

func main() {
	a := new(app)
	api := js.Global().Get("Object").New()
	for name, m := range a.methods() {
		api.Set(name, a.function(m))
	}
	a.closeWithPage()
	js.Global().Call("gembokReady", api)
	select {} // the page calls
}

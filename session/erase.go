//go:build !goexperiment.runtimesecret

package session

// erasing runs f. A toolchain that can (GOEXPERIMENT=runtimesecret) erases what
// f leaves behind: registers and stack at once, what it allocated as soon as it
// is garbage and collected.
func erasing(f func()) { f() }

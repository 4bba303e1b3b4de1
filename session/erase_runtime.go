//go:build goexperiment.runtimesecret

package session

import "runtime/secret"

// erasing runs f and erases what it leaves behind: see the other file.
func erasing(f func()) { secret.Do(f) }

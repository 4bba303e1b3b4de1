package keystoretest

import (
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Rules returns the names of all rules.
func Rules() (names []string) {
	for _, r := range rules() {
		names = append(names, r.name)
	}
	return names
}

// Try checks the rule of a name.
func Try(t testing.TB, name string, open func(testing.TB) Harness) {
	for _, r := range rules() {
		if r.name == name {
			r.try(t, open)
		}
	}
}

// A Call is one of a history.
type Call = call

// Load is a call of Load.
func Load(start, end int64, found ...keystore.Record) *Call {
	return &call{start: start, end: end, method: "Load", loaded: found}
}

// Commit is a call of Commit.
func Commit(start, end int64, version uint64, conflicts []keystore.Key, changes ...keystore.Change) *Call {
	return &call{start: start, end: end, method: "Commit", version: version, conflicts: conflicts, changes: changes}
}

// Generation is a call of Generation.
func Generation(start, end int64, version uint64) *Call {
	return &call{start: start, end: end, method: "Generation", generation: version}
}

// CheckHistory looks for an order of calls.
func CheckHistory(calls ...*Call) error { return newHistory(0, calls).check() }

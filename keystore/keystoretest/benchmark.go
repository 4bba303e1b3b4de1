package keystoretest

import (
	"fmt"
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
)

// The shape of what a Device does: a record of 1.5 kB is a session's, and a
// message to all devices of a large group is a thousand of them.
const (
	benchRecords = 1000
	benchSize    = 1500
)

// Benchmark measures a store that holds 1,000 records of 1.5 kB: one of them
// committed, all of them loaded and committed at once, and all of them listed.
func Benchmark(b *testing.B, open func(testing.TB) Harness) {
	for _, bench := range []struct {
		name string
		run  func(*testing.B, *loaded)
	}{
		{"commit", benchCommit},
		{"load and commit 1000", benchThousand},
		{"list 1000", benchList},
	} {
		b.Run(bench.name, func(b *testing.B) { bench.run(b, load(b, open(b).Store)) })
	}
}

// A loaded is a store with records, and the changes that put them anew.
type loaded struct {
	s       keystore.Store
	keys    []keystore.Key
	changes []keystore.Change
}

func load(b *testing.B, s keystore.Store) *loaded {
	l := &loaded{s: s}
	b.Cleanup(func() { s.Close() })
	for i := range benchRecords {
		l.keys = append(l.keys, key("session", fmt.Sprint(i/10), fmt.Sprint(i)))
		l.changes = append(l.changes, keystore.Change{Op: keystore.Put, Key: l.keys[i], Value: pattern(benchSize)})
	}
	l.commit(b, l.changes)
	b.ReportAllocs()
	return l
}

// commit commits changes, and lets them expect what they have become.
func (l *loaded) commit(b *testing.B, changes []keystore.Change) {
	v, err := l.s.Commit(ctx, changes...)
	if err != nil {
		b.Fatal(err)
	}
	for i := range changes {
		changes[i].Expect = v
	}
}

func benchCommit(b *testing.B, l *loaded) {
	b.SetBytes(benchSize)
	for i := 0; b.Loop(); i = (i + 7) % benchRecords {
		l.commit(b, l.changes[i:i+1])
	}
}

func benchThousand(b *testing.B, l *loaded) {
	b.SetBytes(benchRecords * benchSize)
	for b.Loop() {
		records, err := l.s.Load(ctx, l.keys...)
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range records {
			l.changes[i].Expect = r.Version
		}
		l.commit(b, l.changes)
	}
}

func benchList(b *testing.B, l *loaded) {
	b.SetBytes(benchRecords * benchSize)
	for b.Loop() {
		n := 0
		for _, err := range l.s.List(ctx, "scope", "session", "") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchRecords {
			b.Fatalf("listed %d records", n)
		}
	}
}

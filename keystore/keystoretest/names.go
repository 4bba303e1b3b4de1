package keystoretest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gembok-e2ee/gembok/keystore"
)

// unusual lists keys that a store may take for others, or not at all.
func unusual() (keys []keystore.Key) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, p := range [][4]string{
		{"s", "k", "", ""}, {"s", "k", "a", ""}, {"s", "k", "", "a"}, {"s", "k", "a/b", "c"}, {"s", "k", "a", "b/c"},
		{"s", "ka", "", ""}, {"sk", "a", "", ""}, {"sk", "a", "b", ""}, {"s", "ka", "b", ""}, {"s", "k", "ab", ""},
		{"s", "k", "a\x00", "b"}, {"s", "k", "a", "\x00b"}, {"s", "k", "a\x00b", ""}, {"s", "k", "a", "b"},
		{"s", "k", "a\x01", "b"}, {"s", "k", "a", "\x01b"}, {"s", "k", "a\xff", "b"}, {"s", "k", "a", "\xffb"},
		{"s", "k", "A", ""}, {"s", "K", "a", ""}, {"S", "k", "a", ""}, {"s", "k", "", "A"},
		{"s", "k", "a ", ""}, {"s", "k", " a", ""}, {"s", "k", "a\n", ""}, {"s", "k", "a\t", ""}, {"s", "k", " ", " "},
		{"s", "k", "á", ""}, {"s", "k", "a\u0301", ""}, {"s", "k", "ß", ""}, {"s", "k", "ss", ""}, {"s", "k", "İ", ""}, {"s", "k", "i", ""},
		{"s", "k", "\xff\xfe", "\x00"}, {"s", "k", "\ufffd\ufffd", "\x00"}, {"s", "k", "\xff", "\x00"}, {"s", "k", "\xed\xa0\x80", ""},
		{"s", "k", "%", "_"}, {"s", "k", "_", "%"}, {"s", "k", "*", "?"}, {"s", "k", `\`, `\\`}, {"s", "k", `\\`, `\`},
		{"s", "k", "'", `"; DROP TABLE records; --`}, {"s", "k", "''", `""`}, {"s", "k", "`", "$1"}, {"s", "k", "?", ":a"},
		{"s", "k", "NULL", ""}, {"s", "k", "null", ""}, {"s", "k", "0", ""}, {"s", "k", "00", ""}, {"s", "k", "1e0", ""}, {"s", "k", "1", ""},
		{"s", "k", "../..", ""}, {"s", "k", ".", ".."}, {"s", "k", "CON", "a:b"}, {"s", "k", "-", "-"},
		{"\x00", "\x00", "\x00", "\x00"}, {"\xff", "\xff", "\xff", "\xff"}, {"\xff\xff", "\xff", "\xff", ""}, {" ", " ", " ", " "}, {"%", "%", "%", "%"}, {"_", "_", "_", "_"},
		{"s", "k", x(254), ""}, {"s", "k", x(255), ""}, {"s", "k", x(256), ""}, {"s", "k", x(257), ""}, {"s", "k", x(254), "x"},
		{"s", "k", x(40000), ""}, {"s", "k", x(40000), x(255)}, {"s", "k", x(40001), ""}, {"s", "k", x(39999), "x"}, {"s", "k", x(40000), x(70000)},
		{x(300), x(300), x(300), x(300)}, {x(300), x(300), "", x(300)}, {x(300), x(300), x(299), x(301)}, {x(70000), x(70000), x(70000), x(70000)},
	} {
		keys = append(keys, keystore.Key{Scope: p[0], Kind: p[1], Owner: p[2], Name: p[3]})
	}
	return keys
}

// The parts of a key are any bytes, as many as one likes, and where one ends
// and the next begins counts.
func namesAreAnyBytes(t *tester) {
	keys, want := unusual(), map[keystore.Key]stored{}
	for i, k := range keys {
		v, err := t.s.Commit(ctx, put(k, 0, fmt.Sprint(i)))
		t.ok(fmt.Sprint("Commit of ", short(k), ", one of several keys that are not the same"), err)
		want[k] = stored{v, fmt.Sprint(i)}
	}
	t.hasAll(want)
	for _, k := range keys {
		for _, ask := range [][3]string{{k.Scope, k.Kind, k.Owner}, {k.Scope, k.Kind}, {k.Scope}, {"", k.Kind}, {"", "", k.Owner}, {k.Scope, "", k.Owner}} {
			t.lists(want, ask[0], ask[1], ask[2])
		}
	}
	if t.h.Reopen != nil {
		t.reopen()
		t.hasAll(want)
	}
	for i, k := range keys {
		if i%2 == 0 {
			t.commit(remove(k, want[k].version))
			delete(want, k)
		} else {
			want[k] = stored{t.commit(put(k, want[k].version, "new")), "new"}
		}
		equal(t, "records listed", len(t.all("", "", "")), len(want))
	}
	t.hasAll(want)
}

// sizes are those of values: few bytes, those about which lengths, pages and
// pieces are often bounded, and the largest, a body of 64 MiB with what is
// about it.
func sizes() (all []int) {
	for i := range 18 {
		all = append(all, i)
	}
	for n := 5; n <= 20; n++ {
		all = append(all, 1<<n-1, 1<<n, 1<<n+1)
	}
	return append(all, 1_000_000, 4<<20, 16<<20+1, 64<<20+1<<10)
}

func valuesOfAnySize(t *tester) {
	for i, size := range sizes() {
		k := key("k", "o", fmt.Sprint(size))
		value := pattern(size)
		v, err := t.s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Value: value}, put(key("beside", "", ""), t.load(key("beside", "", ""))[0].Version, "b"))
		t.ok(fmt.Sprintf("Commit of %d bytes", size), err)
		t.hasValue(k, v, value)
		if t.h.Reopen != nil && (i%16 == 0 || size > 1<<20) {
			t.reopen()
			t.hasValue(k, v, value)
		}
		if i%2 == 0 { // shorter and longer ones in its place
			short := value[:size/3]
			v, err = t.s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Expect: v, Value: short})
			t.ok("Commit of a shorter value", err)
			t.hasValue(k, v, short)
			v, err = t.s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Expect: v, Value: value})
			t.ok("Commit of a longer value", err)
			t.hasValue(k, v, value)
		}
		t.commit(remove(k, v))
		t.holds(k, 0, "")
	}
	equal(t, "records left", len(t.all("", "", "")), 1)
}

// hasValue requires a record, loaded and listed.
func (t *tester) hasValue(k keystore.Key, version uint64, value []byte) {
	t.Helper()
	r := t.load(k)[0]
	equal(t, "version", r.Version, version)
	t.require(bytes.Equal(r.Value, value), "a value of %d bytes came back as another one, of %d", len(value), len(r.Value))
	for r, err := range t.s.List(ctx, k.Scope, k.Kind, k.Owner) {
		t.ok("List", err)
		t.require(r.Key != k || r.Version == version && bytes.Equal(r.Value, value),
			"a value of %d bytes was listed as another one, of %d", len(value), len(r.Value))
	}
}

// pattern is a value in which no two pieces are alike, and in which all bytes
// occur.
func pattern(size int) []byte {
	b := make([]byte, size)
	x := uint32(size) | 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

//go:build js && wasm

package indexeddb

import (
	"bytes"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A stored key is the four parts one after the other, each with 0x00 as 0x00
// 0xff, and 0x00 0x01 at its end. The browser compares such keys byte for byte,
// and those of a scope, of a kind in it and of an owner of that are beside each
// other.
const (
	zero   = 0x00
	within = 0xff
	end    = 0x01
)

func appendKey(b []byte, k *keystore.Key) []byte {
	return appendPart(appendPart(appendPart(appendPart(b, k.Scope), k.Kind), k.Owner), k.Name)
}

func appendPart(b []byte, part string) []byte {
	for i := range len(part) {
		if b = append(b, part[i]); part[i] == zero {
			b = append(b, within)
		}
	}
	return append(b, zero, end)
}

// parseKey takes a stored key apart.
func parseKey(b []byte) (k keystore.Key, ok bool) {
	for _, part := range []*string{&k.Scope, &k.Kind, &k.Owner, &k.Name} {
		if *part, b, ok = cutPart(b); !ok {
			return keystore.Key{}, false
		}
	}
	return k, len(b) == 0 && k.Valid()
}

func cutPart(b []byte) (part string, rest []byte, ok bool) {
	var p []byte
	for {
		i := bytes.IndexByte(b, zero)
		if i < 0 || i+1 == len(b) {
			return "", nil, false
		}
		p = append(p, b[:i]...)
		mark := b[i+1]
		b = b[i+2:]
		switch mark {
		case end:
			return string(p), b, true
		case within:
			p = append(p, zero)
		default:
			return "", nil, false
		}
	}
}

// A listing is a List at work.
type listing struct {
	scope, kind, owner string
	prefix             []byte // of all keys that it asks for; it ends a part, or is empty
	last               []byte // key that was read
	done               bool
}

func newListing(scope, kind, owner string) *listing {
	l := &listing{scope: scope, kind: kind, owner: owner}
	for _, part := range []string{scope, kind, owner} {
		if part == "" {
			break
		}
		l.prefix = appendPart(l.prefix, part)
	}
	return l
}

// rest is the range of the keys that were not read yet.
func (l *listing) rest() js.Value {
	from, open := l.prefix, false
	if l.last != nil {
		from, open = l.last, true
	}
	ranges := js.Global().Get("IDBKeyRange")
	if len(l.prefix) == 0 {
		return ranges.Call("lowerBound", toJS(from), open)
	}
	to := bytes.Clone(l.prefix)
	to[len(to)-1]++ // the mark of the end of a part
	return ranges.Call("bound", toJS(from), toJS(to), open, true)
}

// take returns the records that are asked for, of those that were read.
func (l *listing) take(keys, values js.Value) (records []keystore.Record, err error) {
	n := keys.Length()
	l.done = n < pageSize
	for i := range n {
		l.last = toGo(uint8Array.New(keys.Index(i)))
		k, ok := parseKey(l.last)
		if !ok {
			return records, errForm
		}
		if !l.asks(&k) {
			continue
		}
		r, err := record(k, values.Index(i))
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func (l *listing) asks(k *keystore.Key) bool {
	return (l.scope == "" || l.scope == k.Scope) && (l.kind == "" || l.kind == k.Kind) && (l.owner == "" || l.owner == k.Owner)
}

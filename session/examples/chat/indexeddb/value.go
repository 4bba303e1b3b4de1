//go:build js && wasm

package indexeddb

import (
	"encoding/binary"
	"fmt"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// What the database holds: in the store of records, under the stored key, the
// version in 8 bytes and the value after it, as one Uint8Array; in the other one
// two numbers.
const (
	recordStore = "records"
	metaStore   = "meta"
	generation  = "generation" // the newest version given out
	format      = "format"     // formatNow

	formatNow   = 1
	versionSize = 8
	maxNumber   = 1<<53 - 1 // that JavaScript counts to
)

var errForm = fmt.Errorf("%w: not of the form that is written here", keystore.ErrCorrupt)

var uint8Array = js.Global().Get("Uint8Array")

// toJS copies bytes out.
func toJS(b []byte) js.Value {
	a := uint8Array.New(len(b))
	js.CopyBytesToJS(a, b)
	return a
}

// toGo copies a Uint8Array in.
func toGo(a js.Value) []byte {
	b := make([]byte, a.Length())
	js.CopyBytesToGo(b, a)
	return b
}

// stored is a value as the database holds it.
func stored(version uint64, value []byte) js.Value {
	a := uint8Array.New(versionSize + len(value))
	js.CopyBytesToJS(a, binary.BigEndian.AppendUint64(nil, version))
	js.CopyBytesToJS(a.Call("subarray", versionSize), value)
	return a
}

// version returns the version of what a request has found, 0 for nothing.
func version(found js.Value) (uint64, error) {
	if found.IsUndefined() {
		return 0, nil
	}
	var b [versionSize]byte
	if !found.InstanceOf(uint8Array) || js.CopyBytesToGo(b[:], found) != len(b) {
		return 0, errForm
	}
	v := binary.BigEndian.Uint64(b[:])
	if v == 0 || v > maxNumber {
		return 0, errForm
	}
	return v, nil
}

// record returns what a request has found under k.
func record(k keystore.Key, found js.Value) (keystore.Record, error) {
	v, err := version(found)
	if v == 0 || err != nil {
		return keystore.Record{Key: k}, err
	}
	return keystore.Record{Key: k, Value: toGo(found)[versionSize:], Version: v}, nil
}

// number returns a number of the other store.
func number(found js.Value) (uint64, error) {
	if found.Type() != js.TypeNumber {
		return 0, errForm
	}
	f := found.Float()
	if !(f >= 0 && f <= maxNumber) || f != float64(uint64(f)) {
		return 0, errForm
	}
	return uint64(f), nil
}

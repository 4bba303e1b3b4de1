package hosting

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// numbers are the states by the number they are stored as, from 1.
var numbers = []State{unattested, current, pending, narrower, expired, conflict, declined}

// number is what a state is stored as; no state is UNATTESTED.
func (s State) number() uint32 { return uint32(1 + max(0, slices.Index(numbers, s))) }

// stateOf is the state of a number, "" of none.
func stateOf(number uint32) State {
	if number < 1 || int(number) > len(numbers) {
		return ""
	}
	return numbers[number-1]
}

// bytes returns the stored form of r, which parseRecord reads.
func (r *record) bytes() []byte { return wire.AppendHosting(nil, r.wire()) }

func (r *record) wire() *wire.Hosting {
	w := &wire.Hosting{State: r.state.number(), Epoch: r.epoch, Disputed: r.disputed, Since: stamp(r.since), Consented: stamp(r.consented), Former: []byte(r.former)}
	for _, f := range []struct {
		m   *Manifest
		dst *[]byte
	}{{r.current, &w.Current}, {r.pending, &w.Pending}, {r.conflicting, &w.Conflicting}} {
		if f.m != nil {
			*f.dst = f.m.Bytes()
		}
	}
	if r.claimed != [32]byte{} {
		w.Claimed = r.claimed[:]
	}
	return w
}

// parseRecord reads what bytes returned; nothing is the zero record. Signatures
// are not verified again. Errors are session.ErrMalformed and session.ErrTooLarge;
// of a record of the store that is damage.
func parseRecord(b []byte) (record, error) {
	if len(b) == 0 {
		return record{}, nil
	}
	w, err := wire.ParseHosting(b)
	if err != nil {
		return record{}, err
	}
	return recordOf(w)
}

// recordOf is parseRecord of what is decoded.
func recordOf(w *wire.Hosting) (record, error) {
	r := record{state: stateOf(w.State), epoch: w.Epoch, disputed: w.Disputed, since: moment(w.Since), consented: moment(w.Consented), former: formers(w.Former)}
	if r.state == "" {
		return record{}, fmt.Errorf("%w: state of a hosting record", wire.ErrMalformed)
	}
	copy(r.claimed[:], w.Claimed)
	for _, f := range []struct {
		b   []byte
		dst **Manifest
	}{{w.Current, &r.current}, {w.Pending, &r.pending}, {w.Conflicting, &r.conflicting}} {
		if len(f.b) == 0 {
			continue
		}
		var err error
		if *f.dst, err = Parse(f.b); err != nil {
			return record{}, err
		}
	}
	return r.sound()
}

// sound returns r if it can be: at needs a current manifest.
func (r record) sound() (record, error) {
	settled := r.state == current || r.state == narrower || r.state == expired
	if settled && r.current == nil {
		return record{}, fmt.Errorf("%w: hosting record without a manifest", wire.ErrMalformed)
	}
	return r, nil
}

// stamp and moment are a time in milliseconds since 1970; 0 is none.

func stamp(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(1, t.UnixMilli()))
}

func moment(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(min(ms, math.MaxInt64))).UTC()
}

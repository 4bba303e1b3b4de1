package storetool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

func (t *Tool) inspect(ctx context.Context, args []string) error {
	o, err := t.parseOne("inspect", args)
	if err != nil {
		return err
	}
	s, err := t.open(ctx, &o.store, false)
	if err != nil {
		return err
	}
	defer s.Close()
	c := &census{kinds: map[string]*tally{}, devices: map[string]*device{}}
	if err := c.take(ctx, s); err != nil {
		return err
	}
	c.print(t.Out, t.Now(), o.addresses)
	return s.Close()
}

// A census is what a store holds.
type census struct {
	generation uint64
	all        tally
	kinds      map[string]*tally
	devices    map[string]*device // by scope
	unfinished bool               // a copy that was interrupted
	damaged    int                // records that the store could not read
}

// A tally is of the records of one kind.
type tally struct {
	records, bytes, largest int
	oldest, newest          uint64 // milliseconds since 1970; 0: no time is known
	formats                 [256]bool
	empty                   bool // there are values without a format
}

func (y *tally) add(value []byte) {
	y.records++
	y.bytes += len(value)
	y.largest = max(y.largest, len(value))
	if y.empty = y.empty || len(value) == 0; len(value) > 0 {
		y.formats[value[0]] = true
	}
}

func (y *tally) time(ms uint64) {
	if ms == 0 {
		return
	}
	y.newest = max(y.newest, ms)
	if y.oldest == 0 || ms < y.oldest {
		y.oldest = ms
	}
}

// versions prints the format bytes, "none" among them. Values of a kind that is
// not known may not begin with one: their first byte is not shown.
func (y *tally) versions(known bool) string {
	var out []string
	if y.empty {
		out = append(out, "none")
	}
	for f, found := range y.formats {
		switch {
		case !found:
		case known || f == format:
			out = append(out, strconv.Itoa(f))
		case !slices.Contains(out, "other"):
			out = append(out, "other")
		}
	}
	return strings.Join(out, " ")
}

// A device is a scope in a census.
type device struct {
	sessions, archived  int
	preKeys, kemPreKeys int // that are not used up
	unpublished         int // of them
	signed, lastResort  uint64
	waiting             tally // staged messages
	events              int
}

// take counts the records of a store.
func (c *census) take(ctx context.Context, s keystore.Store) (err error) {
	if c.generation, err = s.Generation(ctx); err != nil {
		return err
	}
	for rec, err := range s.List(ctx, "", "", "") {
		if isDamaged(&rec, err) {
			c.damaged++
			err = nil
		}
		if err != nil {
			return err
		}
		c.add(&rec)
	}
	return nil
}

// isDamaged tells whether a store could not read one record, and goes on.
func isDamaged(rec *keystore.Record, err error) bool {
	return errors.Is(err, keystore.ErrCorrupt) && rec.Key.Valid()
}

func (c *census) add(rec *keystore.Record) {
	if rec.Key == movingKey {
		c.unfinished = true
		return
	}
	c.all.add(rec.Value)
	c.kind(rec.Key.Kind).add(rec.Value)
	d := c.devices[rec.Key.Scope]
	if d == nil {
		d = new(device)
		c.devices[rec.Key.Scope] = d
	}
	f, body := formOf(rec.Value)
	if f != readable {
		return
	}
	for _, s := range stamps(rec.Key, body) {
		c.kind(s.kind).time(s.at)
	}
	d.add(rec.Key.Kind, body)
}

func (c *census) kind(name string) *tally {
	if c.kinds[name] == nil {
		c.kinds[name] = new(tally)
	}
	return c.kinds[name]
}

func (d *device) add(kind string, body []byte) {
	switch kind {
	case "prekey", "kem", "signed", "lastresort":
		d.preKey(kind, body)
	case "session":
		if s, err := wire.ParseSessionIndex(body); err == nil && s.Current != nil {
			d.sessions++
		}
	case "archive":
		d.archived++
	case "staged":
		s, _ := wire.ParseStaged(body)
		d.waiting.add(body)
		d.waiting.time(s.ReceivedAt)
	case "event":
		d.events++
	}
}

// preKey counts a prekey that a directory has or should have.
func (d *device) preKey(kind string, body []byte) {
	p, err := wire.ParseStoredPreKey(body)
	if err != nil || p.Retired != 0 {
		return
	}
	if p.Published == 0 {
		d.unpublished++
	}
	switch kind {
	case "prekey":
		d.preKeys++
	case "kem":
		d.kemPreKeys++
	case "signed":
		d.signed = max(d.signed, p.Created)
	case "lastresort":
		d.lastResort = max(d.lastResort, p.Created)
	}
}

func (c *census) print(w io.Writer, now time.Time, addresses bool) {
	fmt.Fprintf(w, "generation  %s\nrecords     %s, %s bytes of values\n\n", count(c.generation), count(c.all.records), count(c.all.bytes))
	kinds := table{{"<KIND", "RECORDS", "BYTES", "LARGEST", "OLDEST", "NEWEST", "<FORMATS"}}
	for _, name := range slices.Sorted(maps.Keys(c.kinds)) {
		y := c.kinds[name]
		kinds.add(quote(name), count(y.records), count(y.bytes), count(y.largest), age(now, y.oldest), age(now, y.newest), y.versions(checks[name] != nil))
	}
	kinds.print(w)
	devices := table{{"<DEVICE", "SESSIONS", "ARCHIVED", "PREKEYS LEFT", "KEM LEFT", "UNPUBLISHED", "SIGNED", "LAST RESORT", "UNACKNOWLEDGED", "OLDEST", "EVENTS"}}
	for i, scope := range slices.Sorted(maps.Keys(c.devices)) {
		d := c.devices[scope]
		devices.add(label(i, scope, addresses), count(d.sessions), count(d.archived), count(d.preKeys), count(d.kemPreKeys), count(d.unpublished),
			age(now, d.signed), age(now, d.lastResort), count(d.waiting.records), age(now, d.waiting.oldest), count(d.events))
	}
	devices.print(w)
	if c.unfinished {
		fmt.Fprintln(w, "This store is a copy that was interrupted: give the same move again.")
	}
	if y := c.kinds["restore"]; y != nil {
		fmt.Fprintf(w, "%s devices wait for AfterRestore.\n", count(y.records))
	}
	if c.damaged > 0 {
		fmt.Fprintf(w, "The store cannot read %s of its records: see verify.\n", count(c.damaged))
	}
}

// label names a device: by its number here unless addresses may be shown.
func label(i int, scope string, addresses bool) string {
	if addresses {
		return quote(scope)
	}
	return strconv.Itoa(i + 1)
}

// quote makes text of the bytes in a key, which may be any.
func quote(s string) string {
	q := strconv.Quote(s)
	return cmp.Or(q[1:len(q)-1], "-")
}

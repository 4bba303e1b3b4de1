package hosting

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// The types of records in an archive. "app" is whatever the app hands in; the
// others but the last are what ArchiveWriter.Device writes.
const (
	typeIdentity = "identity"
	typeDevice   = "device"
	typeGroup    = "group"
	typeLabel    = "label"
	typeConsent  = "consent"
	typeAccount  = "account"
)

// An ArchiveRecord is one piece of data in an archive. It may hold a secret, and
// prints as redacted. The zero value has no Type, which is refused.
type ArchiveRecord struct {
	wire.Secret

	// Type says what it is: "app" for what the app hands in, in a form that is
	// its own. It has 1 to 64 bytes.
	Type string
	// Name says which one of its type it is. It has at most 32 KiB.
	Name string
	// Data has at most 64 MiB.
	Data []byte
	// Time is of the data, in whole milliseconds since 1970; zero is unknown.
	Time time.Time
	// Expires is when a message disappears, as session.Timer.Deadline says; zero is
	// never. One that is past it is not written. It is not stored: an app that wants to keep the deadline of
	// a message that has not reached it has it in Data.
	Expires time.Time
}

// ArchiveOptions are how an archive is written or read; nil is the defaults, and
// so is the zero value.
type ArchiveOptions struct {
	// Progress is called after each record, with how many there were, and how
	// many bytes of the file so far, roughly. Its error ends the reading, or the
	// writing, and is returned.
	Progress func(records, bytes int64) error
	// Now is the clock by which messages have disappeared; nil is time.Now.
	Now func() time.Time
}

func (o *ArchiveOptions) progress(records, bytes int64) error {
	if o == nil || o.Progress == nil {
		return nil
	}
	return o.Progress(records, bytes)
}

func (o *ArchiveOptions) now() time.Time {
	if o == nil || o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// An ArchiveWriter writes the archive of gembok, Section 5: what a person takes
// along. It keeps no record in memory. It is for one goroutine, holds secrets and
// prints as redacted; NewArchiveWriter makes one. What was written is an archive
// once Close returned nil, and nothing before.
type ArchiveWriter struct {
	wire.Secret

	opts    *ArchiveOptions
	dst     *archiveSink
	payload io.WriteCloser
	tally   archiveTally
	err     error // that of all that follows
}

// errClosed reports a write to an archive that has its end.
var errClosed = errors.New("hosting: archive is closed")

// NewArchiveWriter begins an archive in dst, encrypted to a key. For a
// passphrase it takes 256 MiB of memory, and about a second.
//
// Errors: keystore.ErrPassphrase where key is none, and those of dst.
func NewArchiveWriter(dst io.Writer, key *ArchiveKey, o *ArchiveOptions) (*ArchiveWriter, error) {
	to, err := key.to()
	if err != nil {
		return nil, err
	}
	w := &ArchiveWriter{opts: o, dst: &archiveSink{w: dst}, tally: newArchiveTally()}
	if w.payload, err = age.Encrypt(w.dst, to); err != nil {
		return nil, fmt.Errorf("hosting: archive: %w", err)
	}
	if err := w.write([]byte(wire.ArchiveLine)); err != nil {
		return nil, err
	}
	return w, nil
}

// Write adds a record; one that is past its Expires is left out. Records of
// another archive go through it as they are, also those of a type that nobody
// knows, but for an account: that is for Account.
//
// Errors: session.ErrMalformed and session.ErrTooLarge for the record, which
// then is not in the archive; others of dst and Progress, after which nothing can
// be added any more.
func (w *ArchiveWriter) Write(r *ArchiveRecord) error {
	if r == nil || r.Type == wire.ArchiveEndType || r.Type == typeAccount {
		return fmt.Errorf("%w: type of a record", wire.ErrMalformed)
	}
	return w.add(r)
}

func (w *ArchiveWriter) add(r *ArchiveRecord) error {
	if w.err != nil {
		return w.err
	}
	if !r.Expires.IsZero() && !r.Expires.After(w.opts.now()) {
		return nil
	}
	e := wire.ArchiveEntry{Type: r.Type, Name: r.Name, Data: r.Data}
	if !r.Time.IsZero() {
		e.Time = uint64(max(1, r.Time.UnixMilli()))
	}
	if err := e.Check(); err != nil {
		return err
	}
	if err := w.tally.count(r.Type); err != nil {
		return err
	}
	if err := w.put(&e); err != nil {
		return err
	}
	w.err = w.opts.progress(w.tally.records, w.dst.n)
	return w.err
}

// put writes a record behind its length.
func (w *ArchiveWriter) put(e *wire.ArchiveEntry) error {
	b := wire.AppendArchiveEntry(make([]byte, 4, 4+64+len(e.Type)+len(e.Name)+len(e.Data)), e)
	defer clear(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return w.write(b)
}

func (w *ArchiveWriter) write(b []byte) error {
	w.tally.hash.Write(b)
	if _, err := w.payload.Write(b); err != nil {
		w.err = fmt.Errorf("hosting: archive: %w", err)
	}
	return w.err
}

// Close writes the end of the archive; dst stays open. After an error of an
// earlier call it writes nothing, and returns that.
func (w *ArchiveWriter) Close() error {
	if w.err != nil {
		return w.err
	}
	end := w.tally.end()
	if err := w.put(&wire.ArchiveEntry{Type: wire.ArchiveEndType, Data: wire.AppendArchiveEnd(nil, &end)}); err != nil {
		return err
	}
	w.err = errClosed
	if err := w.payload.Close(); err != nil {
		w.err = fmt.Errorf("hosting: archive: %w", err)
		return w.err
	}
	return nil
}

// An archiveTally is what the end of an archive says of it.
type archiveTally struct {
	records int64
	counts  map[string]uint64
	hash    hash.Hash // of all so far
}

func newArchiveTally() archiveTally {
	return archiveTally{counts: map[string]uint64{}, hash: sha256.New()}
}

// count counts a record. The error is ErrTooLarge for a type too many.
func (t *archiveTally) count(kind string) error {
	if t.counts[kind] == 0 && len(t.counts) == wire.MaxArchiveTypes {
		return fmt.Errorf("%w: more than %d types of records", wire.ErrTooLarge, wire.MaxArchiveTypes)
	}
	t.counts[kind]++
	t.records++
	return nil
}

func (t *archiveTally) end() wire.ArchiveEnd {
	e := wire.ArchiveEnd{Hash: t.hash.Sum(nil)}
	for _, kind := range slices.Sorted(maps.Keys(t.counts)) {
		e.Counts = append(e.Counts, wire.ArchiveCount{Type: kind, Count: t.counts[kind]})
	}
	return e
}

// An archiveSink counts what is written.
type archiveSink struct {
	w io.Writer
	n int64
}

func (c *archiveSink) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

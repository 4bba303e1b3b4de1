package hosting

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	// ageLine is what a file of age begins with.
	ageLine = "age-encryption.org/v1\n"
	// maxHeader bounds the header of such a file.
	maxHeader = 64 << 10
)

// ReadArchive yields the records of an archive, one by one. Memory is that of
// one record.
//
// What it yields is authentic, but whether it is all there is shows at the end
// only: an error comes last, with no record. Who imports records does so in a
// transaction that is committed after the loop, if there was no error, or calls
// VerifyArchive first. An account is among them when the archive is for recovery.
//
// Errors: keystore.ErrPassphrase when the key does not open the file;
// session.ErrAuth when it was changed or cut off, or something was added;
// session.ErrMalformed when it is no archive; session.ErrVersion for an archive of
// a later version; session.ErrTooLarge for a record, a header or a cost of the
// passphrase over the maximum; those of src and Progress.
func ReadArchive(src io.Reader, key *ArchiveKey, o *ArchiveOptions) iter.Seq2[*ArchiveRecord, error] {
	return func(yield func(*ArchiveRecord, error) bool) {
		r, err := openArchive(src, key)
		for err == nil {
			var rec *ArchiveRecord
			if rec, err = r.next(); err != nil || rec == nil {
				break
			}
			if !yield(rec, nil) {
				return
			}
			err = o.progress(r.tally.records, r.src.n)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// VerifyArchive reads an archive to its end and keeps nothing. It returns how
// many records of each type there are; errors are those of ReadArchive, and
// then there is no result.
func VerifyArchive(src io.Reader, key *ArchiveKey, o *ArchiveOptions) (map[string]uint64, error) {
	r, err := openArchive(src, key)
	for err == nil {
		var rec *ArchiveRecord
		if rec, err = r.next(); err != nil || rec == nil {
			break
		}
		clear(rec.Data)
		err = o.progress(r.tally.records, r.src.n)
	}
	if err != nil {
		return nil, err
	}
	return r.tally.counts, nil
}

// An archiveReader is an archive that is being read.
type archiveReader struct {
	src     *archiveSource
	payload io.Reader
	tally   archiveTally
}

func openArchive(src io.Reader, key *ArchiveKey) (*archiveReader, error) {
	id, err := key.from()
	if err != nil {
		return nil, err
	}
	a := &archiveReader{src: &archiveSource{r: src, left: maxHeader}, tally: newArchiveTally()}
	file := bufio.NewReader(a.src)
	if err := a.sniff(file); err != nil {
		return nil, err
	}
	if a.payload, err = age.Decrypt(file, id); err != nil {
		return nil, a.judge(err)
	}
	a.src.left = math.MaxInt64
	return a, a.line()
}

// sniff tells a file of another kind from one that was damaged.
func (a *archiveReader) sniff(file *bufio.Reader) error {
	begin, err := file.Peek(len(ageLine))
	switch {
	case a.src.err != nil:
		return a.src.err
	case !strings.HasPrefix(ageLine, string(begin)):
		return fmt.Errorf("%w: no archive", wire.ErrMalformed)
	case err != nil:
		return cutOff()
	}
	return nil
}

func cutOff() error { return fmt.Errorf("%w: archive is cut off", wire.ErrAuth) }

// judge classes an error of age, or of what it reads.
func (a *archiveReader) judge(err error) error {
	if a.src.err != nil {
		return a.src.err
	}
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return keystore.ErrPassphrase
	}
	if errors.Is(err, wire.ErrTooLarge) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cutOff()
	}
	return fmt.Errorf("%w: archive", wire.ErrAuth)
}

// line reads the first line.
func (a *archiveReader) line() error {
	b := make([]byte, len(wire.ArchiveLine))
	if _, err := io.ReadFull(a.payload, b); err != nil {
		return a.judge(err)
	}
	a.tally.hash.Write(b)
	prefix, _, _ := strings.Cut(wire.ArchiveLine, "1")
	switch {
	case string(b) == wire.ArchiveLine:
		return nil
	case strings.HasPrefix(string(b), prefix):
		return fmt.Errorf("%w: archive", wire.ErrVersion)
	}
	return fmt.Errorf("%w: no archive", wire.ErrMalformed)
}

// next returns the next record, nil after the last when all is as its end says.
func (a *archiveReader) next() (*ArchiveRecord, error) {
	var length [4]byte
	if _, err := io.ReadFull(a.payload, length[:]); err != nil {
		return nil, a.judge(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > wire.MaxArchiveEntry {
		return nil, fmt.Errorf("%w: record of %d bytes", wire.ErrTooLarge, n)
	}
	b, err := a.body(int(n))
	if err != nil {
		return nil, err
	}
	e, err := wire.ParseArchiveEntry(b)
	if err != nil {
		return nil, err
	}
	if e.Type == wire.ArchiveEndType {
		return nil, a.finish(&e)
	}
	a.tally.hash.Write(length[:])
	a.tally.hash.Write(b)
	if err := a.tally.count(e.Type); err != nil {
		return nil, err
	}
	r := &ArchiveRecord{Type: e.Type, Name: e.Name, Data: e.Data}
	if e.Time != 0 {
		r.Time = time.UnixMilli(int64(e.Time))
	}
	return r, nil
}

// firstBody is how much is allocated for a record before anything of it came.
const firstBody = 68 << 10

// body reads n bytes. It allocates as they come, since n is what somebody says.
func (a *archiveReader) body(n int) ([]byte, error) {
	b := make([]byte, 0, min(n, firstBody))
	for len(b) < n {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b), n-len(b)))
		}
		come := len(b)
		b = b[:min(cap(b), n)]
		if _, err := io.ReadFull(a.payload, b[come:]); err != nil {
			return nil, a.judge(err)
		}
	}
	return b, nil
}

// finish holds the end against what was read, and sees that nothing follows.
func (a *archiveReader) finish(e *wire.ArchiveEntry) error {
	end, err := wire.ParseArchiveEnd(e.Data)
	if err != nil {
		return err
	}
	want := a.tally.end()
	if e.Name != "" || e.Time != 0 || !bytes.Equal(wire.AppendArchiveEnd(nil, &want), wire.AppendArchiveEnd(nil, &end)) {
		return fmt.Errorf("%w: archive is not what its end says", wire.ErrAuth)
	}
	switch _, err := io.ReadFull(a.payload, make([]byte, 1)); {
	case err == nil:
		return fmt.Errorf("%w: more after the end of an archive", wire.ErrAuth)
	case err != io.EOF:
		return a.judge(err)
	}
	return nil
}

// An archiveSource counts what is read, and remembers what went wrong.
type archiveSource struct {
	r    io.Reader
	n    int64
	left int64 // how much may be read yet
	err  error
}

func (s *archiveSource) Read(p []byte) (int, error) {
	if s.left == 0 && s.err == nil {
		s.err = fmt.Errorf("%w: header of an archive", wire.ErrTooLarge)
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.n += int64(n)
	s.left -= int64(n)
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("hosting: archive: %w", err)
	}
	return n, err
}

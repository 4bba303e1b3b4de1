package attachment

import (
	"fmt"
	"io"
)

// ahead is how much is read beyond what is checked, in bytes: the last block of
// the ciphertext and the MAC are never taken for something else.
const ahead = block + macSize

// maxEmptyReads is how often a source may return nothing, and no error.
const maxEmptyReads = 100

// A checker tells what of a blob may be let through.
type checker interface {
	// next is given what was read and is not checked yet: if more may follow, at
	// least a chunk and the bytes ahead; at the end all there is, at least those.
	// It returns how many bytes are right: whole chunks, so that those ahead
	// remain, and at the end all. Its first error is final.
	next(b []byte, end bool) (int, error)
}

// An input reads a blob and has it checked. Its buffer holds, in this order,
//
//	taken | checked | read, but not checked | free
//	     from      good                    read
type input struct {
	src   io.Reader
	chunk int
	check checker

	buf              []byte
	from, good, read int
	begun, ended     bool // something was checked; all was read and checked
}

// ready returns how many bytes are checked, were not taken, and are certainly
// not of the end.
func (in *input) ready() int {
	if in.ended {
		return max(0, in.good-in.from-ahead)
	}
	return in.good - in.from
}

// take returns the next n bytes, of those that are ready. They may be
// overwritten, and are valid until advance.
func (in *input) take(n int) []byte {
	b := in.buf[in.from : in.from+n]
	in.from += n
	return b
}

// rest returns what is left once the input has ended, without the MAC.
func (in *input) rest() []byte { return in.buf[in.from : in.good-macSize] }

// advance reads until more can be checked, and checks it.
func (in *input) advance() error {
	in.read = copy(in.buf, in.buf[in.from:in.read])
	in.good, in.from = in.good-in.from, 0
	end := false
	for !end && in.read-in.good < max(in.chunk, block)+ahead {
		var err error
		if end, err = in.fill(); err != nil {
			return err
		}
	}
	if end && !in.begun && in.read < minBlob {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, in.read)
	}
	in.begun = true
	n, err := in.check.next(in.buf[in.good:in.read], end)
	in.good += n
	in.ended = err == nil && end
	return err
}

// fill reads once more, and tells whether that was all.
func (in *input) fill() (end bool, err error) {
	in.grow()
	for range maxEmptyReads {
		n, err := in.src.Read(in.buf[in.read:])
		in.read += n
		switch {
		case err == io.EOF:
			return true, nil
		case n > 0 || err != nil:
			return false, err
		}
	}
	return false, io.ErrNoProgress
}

// grow makes room in the buffer. It has 64 KiB and what is ahead at first, and
// as much beside a chunk as soon as those are full.
func (in *input) grow() {
	size := bufSize + 2*ahead
	switch {
	case in.read < len(in.buf):
		return
	case in.buf != nil:
		size += in.chunk
	}
	in.buf = append(make([]byte, 0, size), in.buf...)[:size]
}

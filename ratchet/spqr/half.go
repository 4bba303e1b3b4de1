package spqr

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/kdf"
)

// A half is one direction of a link. Keys are numbered from 1.
type half struct {
	counter uint32 // number of the last key
	cleared bool   // there is no next: no further key can be made
	next    [32]byte
	history []byte // skipped keys, unordered; replaced, never written in place
}

// entrySize is the length of an entry of a history: number 4 || key 32.
const entrySize = 4 + 32

// step makes the next key.
//
// Errors: ErrExhausted after key 2^32−1, and ErrCorrupt when cleared.
func (h *half) step() (key *[32]byte, err error) {
	var out [64]byte
	if err := h.derive(out[:]); err != nil {
		return nil, err
	}
	key = new([32]byte)
	copy(key[:], out[32:])
	clear(out[:])
	return key, nil
}

// derive moves to the next key and fills out, of 64 bytes, with next || key; of
// 32 bytes for a key that nobody will ask for.
func (h *half) derive(out []byte) error {
	switch {
	case h.cleared:
		return fmt.Errorf("%w: chain of a past epoch", ErrCorrupt)
	case h.counter == math.MaxUint32:
		return ErrExhausted
	}
	h.counter++
	var buf [48]byte
	info := append(binary.BigEndian.AppendUint32(buf[:0], h.counter), "Signal PQ Ratchet V1 Chain Next"...)
	kdf.HKDF(out, nil, h.next[:], info)
	copy(h.next[:], out)
	return nil
}

// look returns how many steps lead to key i, 0 when the key is at place in the
// history.
//
// Errors: ErrUsed, ErrTrimmed, ErrJump.
func (h *half) look(i uint32, p params) (steps uint32, place int, err error) {
	switch c := h.counter; {
	case i > c && i-c > p.jump:
		return 0, 0, fmt.Errorf("%w: %d after %d", ErrJump, i, c)
	case i > c:
		return i - c, 0, nil
	case c-i > p.kept:
		return 0, 0, fmt.Errorf("%w: %d after %d", ErrTrimmed, i, c)
	case i < c:
		for ; place < len(h.history); place += entrySize {
			if binary.BigEndian.Uint32(h.history[place:]) == i {
				return 0, place, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("%w: %d", ErrUsed, i)
}

// take returns key i, keeping those it skips.
//
// Errors: as look, and as step. h is then not usable any more.
func (h *half) take(i uint32, p params) (key *[32]byte, err error) {
	steps, place, err := h.look(i, p)
	switch {
	case err != nil:
		return nil, err
	case steps == 0:
		return h.remove(place), nil
	case steps > 1:
		if err := h.skip(i, p); err != nil {
			return nil, err
		}
	}
	h.trim(i-1, p)
	return h.step()
}

// remove takes the entry at place out of the history; the last one moves there.
func (h *half) remove(place int) (key *[32]byte) {
	key = new([32]byte)
	copy(key[:], h.history[place+4:])
	last := len(h.history) - entrySize
	kept := slices.Clone(h.history[:last])
	if place < last {
		copy(kept[place:], h.history[last:])
	}
	h.history = kept
	return key
}

// skip makes the keys before i and keeps those that may still be asked for when
// i is the last one.
func (h *half) skip(i uint32, p params) error {
	oldest := uint64(h.counter) + 1
	kept := h.history
	if i-h.counter > p.kept {
		oldest, kept = uint64(i-p.kept), nil
	}
	history := make([]byte, 0, len(kept)+int(uint64(i)-oldest)*entrySize)
	history = append(history, kept...)
	var out [64]byte
	for h.counter+1 < i {
		if uint64(h.counter)+1 < oldest {
			if err := h.derive(out[:32]); err != nil {
				return err
			}
			continue
		}
		if err := h.derive(out[:]); err != nil {
			return err
		}
		history = binary.BigEndian.AppendUint32(history, h.counter)
		history = append(history, out[32:]...)
	}
	clear(out[:])
	h.history = history
	return nil
}

// trim drops what is more than p.kept behind key number last, once there is a
// lot in the history. The last entry moves to the place of each one dropped.
func (h *half) trim(last uint32, p params) {
	if uint64(len(h.history)/entrySize) < p.trimAt() {
		return
	}
	kept := slices.Clone(h.history)
	for at := 0; at < len(kept); {
		if uint64(binary.BigEndian.Uint32(kept[at:]))+uint64(p.kept) >= uint64(last) {
			at += entrySize
			continue
		}
		end := len(kept) - entrySize
		copy(kept[at:at+entrySize], kept[end:])
		kept = kept[:end]
	}
	h.history = kept
}

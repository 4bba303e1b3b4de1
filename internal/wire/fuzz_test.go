package wire_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"runtime/metrics"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// maxFuzz is the cap on the size of inputs.
const maxFuzz = 1 << 17

// fuzz parses, encodes, parses and encodes again: the second encoding is the
// first. Bad input gives one of our errors, costs little memory, and is left
// as it was.
func fuzz(f *testing.F, seeds [][]byte, rounds ...func([]byte) ([]byte, error)) {
	addSeeds(f, seeds)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		for _, round := range rounds {
			fixpoint(t, b, round)
		}
	})
}

// addSeeds adds the samples of all codecs and seeds.
func addSeeds(f *testing.F, seeds [][]byte) {
	for _, c := range codecs() {
		f.Add(c.sample())
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Add([]byte{})
}

func fixpoint(t *testing.T, b []byte, round func([]byte) ([]byte, error)) {
	before := bytes.Clone(b)
	start := heapBytes()
	first, err := round(b)
	cost := heapBytes() - start
	require.Equal(t, before, b)
	if err != nil {
		require.True(t, errorsIsAny(err, wire.ErrMalformed, wire.ErrVersion, wire.ErrTooLarge), "%v", err)
		require.Nil(t, first)
		limit := uint64(64<<10 + 4*len(b))
		if cost > limit { // or what others allocated meanwhile
			cost = allocated(func() { _, _ = round(b) })
		}
		require.LessOrEqual(t, cost, limit)
		return
	}
	second, err := round(first)
	require.NoError(t, err)
	require.Equal(t, first, second)
}

// heapBytes is what was allocated since the start, roughly, but quickly:
// nothing is stopped for it.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// official returns the messages or records of the official library.
func official(f *testing.F, record bool) (out [][]byte) {
	var steps []struct{ Record_before, Message string }
	vectors(f, "official_decrypt_steps", &steps)
	for _, s := range steps {
		if record {
			out = append(out, unhex(f, s.Record_before))
		} else {
			out = append(out, unhex(f, s.Message))
		}
	}
	return out
}

func FuzzF03SignalMessage(f *testing.F) { fuzz(f, official(f, false), roundSignal) }

func FuzzF04PreKeySignalMessage(f *testing.F) { fuzz(f, official(f, false), roundPreKeySignal) }

// ofGroups returns the messages of groups in the vectors, or the records.
func ofGroups(f *testing.F, names ...string) (out [][]byte) {
	for part, v := range groupVectors(f) {
		for name, s := range v {
			if len(names) == 0 && part == "sender_key_edge_cases" || slices.Contains(names, name) {
				b, _ := hex.DecodeString(s)
				out = append(out, b)
			}
		}
	}
	return out
}

func FuzzF05SenderKeyMessage(f *testing.F) { fuzz(f, ofGroups(f), roundGroupMessage) }

func FuzzF06SenderKeyDistributionMessage(f *testing.F) {
	fuzz(f, ofGroups(f, "skdm"), roundDistribution)
}

func FuzzF07PlaintextContent(f *testing.F) {
	seeds := [][]byte{{0xC0, 0x42, 4, 0x10, 5, 0x18, 7, 0x80}, {0x10, 5, 0x18, 7}}
	fuzz(f, seeds, roundPlaintext, roundDEM)
}

func FuzzF15ServiceID(f *testing.F) {
	for _, s := range []string{aciText, "PNI:" + aciText, "ACI:" + aciText, "alice", ""} {
		f.Add([]byte(s))
	}
	f.Add(make([]byte, 16))
	f.Add(append([]byte{1}, make([]byte, 16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids := []wire.ServiceID{}
		for _, parse := range []func() (wire.ServiceID, error){
			func() (wire.ServiceID, error) { return wire.ParseServiceID(string(b)) },
			func() (wire.ServiceID, error) { return wire.ParseBinaryServiceID(b) },
			func() (wire.ServiceID, error) { return wire.ParseFixedServiceID(b) },
		} {
			id, err := parse()
			if err != nil {
				require.ErrorIs(t, err, wire.ErrMalformed)
				require.Equal(t, wire.ServiceID{}, id)
				continue
			}
			ids = append(ids, id)
		}
		for _, id := range ids {
			again, err := wire.ParseServiceID(id.String())
			require.NoError(t, err)
			require.Equal(t, id, again)
			again, err = wire.ParseBinaryServiceID(id.Binary())
			require.NoError(t, err)
			require.Equal(t, id, again)
			require.Zero(t, id.Compare(again))
		}
	})
}

func FuzzF18SessionRecord(f *testing.F) {
	addSeeds(f, official(f, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		fixpoint(t, b, roundRecord)
		fixpoint(t, b, roundSession)
		rec, err := wire.ParseSessionRecord(b)
		if err != nil {
			return
		}
		if s, err := wire.ParseSession(rec.Current); err == nil {
			for i := range s.Receivers {
				walkSkipped(t, s.Receivers[i].Skipped)
			}
		}
	})
}

// walkSkipped walks a list that was parsed: every entry is found, and removed.
func walkSkipped(t *testing.T, list wire.Skipped) {
	n := list.Len()
	for k := range list.All() {
		found, at := list.Find(k.Index)
		if at < 0 || found.Index != k.Index || list.Remove(at).Len() != n-1 {
			t.Fatal("a key that is there and is not")
		}
		if n > 50 {
			break
		}
	}
	if more := list.Prepend(math.MaxUint32, make([][32]byte, 1)); more.Len() != min(n+1, wire.MaxSkipped) {
		t.Fatal("a key more that is none")
	}
}

func FuzzF19SenderKeyRecord(f *testing.F) {
	addSeeds(f, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		fixpoint(t, b, roundSenderKey)
		fixpoint(t, b, roundSenderIndex)
		rec, err := wire.ParseSenderKeyRecord(b)
		if err != nil {
			return
		}
		for i := range rec.States {
			walkSenderSkipped(t, rec.States[i].Skipped)
		}
	})
}

// walkSenderSkipped does the same with those of a sender key.
func walkSenderSkipped(t *testing.T, list wire.SenderSkipped) {
	keys := slices.Collect(list.All())
	for _, k := range keys[:min(50, len(keys))] {
		found, at := list.Find(k.Iteration)
		if at < 0 || found.Iteration != k.Iteration || len(slices.Collect(list.Remove(at).All())) != len(keys)-1 {
			t.Fatal("a key that is there and is not")
		}
	}
	more := list.Append(math.MaxUint32, make([][32]byte, 1))
	if len(slices.Collect(more.All())) != min(len(keys)+1, wire.MaxSkipped) {
		t.Fatal("a key more that is none")
	}
}

func FuzzF20PreKeyRecord(f *testing.F) { fuzz(f, nil, roundPreKey, roundSigned) }

func FuzzF21IdentityPair(f *testing.F) { fuzz(f, nil, roundIdentity) }

func FuzzBundle(f *testing.F) { fuzz(f, nil, roundBundle) }

func FuzzPublication(f *testing.F) { fuzz(f, nil, roundPublication) }

// FuzzContent is about what apps put into messages.
func FuzzContent(f *testing.F) { fuzz(f, nil, roundContent, roundAttachment) }

func FuzzLink(f *testing.F) { fuzz(f, nil, roundLink, roundLinks) }

// FuzzDeviceRecords is about what a Device keeps of others, and of itself.
func FuzzDeviceRecords(f *testing.F) {
	fuzz(f, nil, roundPeer, roundSent, roundRetry, roundGroup, roundSelf, roundNextIDs, roundStored, roundUpkeep, roundAccepted,
		roundStaged, roundEvent, roundIndex)
}

// FuzzParsers gives each input to all of them: none may be confused by what
// is meant for another.
func FuzzParsers(f *testing.F) {
	fuzz(f, nil, roundSignal, roundPreKeySignal, roundDEM, roundPlaintext, roundBundle, roundPublication,
		roundContent, roundRecord, roundSession, roundIdentity, roundPreKey, roundSigned, roundSenderKey,
		roundGroupMessage, roundDistribution)
}

func FuzzF13SealedContent(f *testing.F) { fuzz(f, nil, roundSealedContent) }

// FuzzSealed is about the bytes of envelopes and certificates, and nothing that
// is in them.
func FuzzSealed(f *testing.F) {
	fuzz(f, nil, roundCertificate, roundServerCertificate, roundSenderCertificate, roundSealed)
}

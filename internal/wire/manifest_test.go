package wire_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func providerFields() []fld {
	return []fld{raw(1, []byte("Höst")), raw(2, []byte("host.example")), raw(3, key33(3))}
}

func endpointFields() []fld {
	return []fld{num32(1, 7), raw(2, key33(2)), num32(3, 4), sub(4, providerFields()), num32(5, 3), raw(6, []byte("id")),
		num32(7, 15), num32(8, 15), num64(9, 1<<40)}
}

// ownEndpoint has what must be, and no more.
func ownEndpoint() []fld {
	return []fld{num32(1, 1), raw(2, key33(2)), num32(3, 1), num32(5, 1), num64(9, 1<<40)}
}

const signedAt = 1_700_000_000

func manifestFields() []fld {
	return []fld{num32(1, 1), raw(2, []byte("alice")), num32(3, 2), num64(4, 9), num64(5, signedAt), num64(6, signedAt+30*86400),
		raw(7, seq(32)), sub(8, ownEndpoint()), sub(8, endpointFields()), raw(9, key33(9))}
}

func signedManifest(manifest []byte) []fld {
	return []fld{raw(1, manifest), raw(3, seq(64)), sub(4, []fld{raw(1, seq(64))}), sub(4, []fld{raw(1, seq(64)), raw(2, seq(64))})}
}

func roundManifest(b []byte) ([]byte, error) {
	m, err := wire.ParseManifest(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendManifest(nil, m), nil
}

func roundSignedManifest(b []byte) ([]byte, error) {
	s, m, err := wire.ParseSignedManifest(b)
	if err != nil {
		return nil, err
	}
	s.Manifest = wire.AppendManifest(nil, m)
	return wire.AppendSignedManifest(nil, s), nil
}

func TestManifest(t *testing.T) {
	in := encode(manifestFields())
	s, m, err := wire.ParseSignedManifest(encode(signedManifest(in)))
	require.NoError(t, err)
	require.Equal(t, in, s.Manifest)
	require.Equal(t, seq(64), s.Signature)
	require.Equal(t, &wire.Manifest{
		Version: 1, Account: "alice", Kind: 2, Epoch: 9, NotBefore: signedAt, NotAfter: signedAt + 30*86400, Previous: seq(32), Key: key33(9),
		Endpoints: []wire.ManifestEndpoint{
			{Device: 1, Identity: key33(2), Controller: wire.ControllerPerson, Storage: 1, NotAfter: 1 << 40},
			{Device: 7, Identity: key33(2), Controller: wire.ControllerProvider, Storage: 3, Region: "id", Readers: 15, Uses: 15, NotAfter: 1 << 40,
				Provider: &wire.ManifestProvider{Name: "Höst", Domain: "host.example", Key: key33(3)}},
		},
	}, m)
	require.False(t, m.Endpoints[0].Controller.Hosted())
	require.True(t, m.Endpoints[1].Controller.Hosted())
	require.Equal(t, encode(endpointFields()), wire.AppendManifestEndpoint(nil, &m.Endpoints[1]))
	require.Equal(t, in, wire.AppendManifest(nil, m))
	require.Equal(t, encode(signedManifest(in)), wire.AppendSignedManifest(nil, s))
}

// refusedManifest requires that no manifest of these fields is read.
func refusedManifest(t *testing.T, name string, manifest []byte) {
	t.Helper()
	m, err := wire.ParseManifest(manifest)
	require.ErrorIs(t, err, wire.ErrMalformed, name)
	require.Nil(t, m)
	s, m, err := wire.ParseSignedManifest(encode(signedManifest(manifest)))
	require.ErrorIs(t, err, wire.ErrMalformed, name)
	require.Nil(t, s)
	require.Nil(t, m)
}

// One encoding is that of a manifest: no unknown field, no default, no other
// order, no longer varint, nothing twice, at any depth.
func TestManifestCanonical(t *testing.T) {
	nested := map[string]struct {
		fields []fld
		frame  func([]byte) []byte
	}{
		"manifest": {manifestFields(), func(p []byte) []byte { return p }},
		"endpoint": {endpointFields(), func(p []byte) []byte { return withEndpoint(raw(8, p)) }},
		"provider": {providerFields(), func(p []byte) []byte {
			return withEndpoint(sub(8, slices.Replace(endpointFields(), 3, 4, raw(4, p))))
		}},
	}
	for name, c := range nested {
		_, err := wire.ParseManifest(c.frame(encode(c.fields)))
		require.NoError(t, err, name)
		for i, f := range c.fields {
			for _, u := range unknown() {
				refusedManifest(t, name, c.frame(slices.Concat(encode(c.fields[:i]), u, encode(c.fields[i:]))))
			}
			refusedManifest(t, name, c.frame(slices.Concat(encode(c.fields[:i]), f.append(nil), encode(c.fields[i:]))))
			if i > 0 && f.num != c.fields[i-1].num {
				swapped := slices.Clone(c.fields)
				swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
				refusedManifest(t, name, c.frame(encode(swapped)))
			}
			if f.typ == protowire.VarintType {
				odd := [][]byte{varint10(f.u), {0}}
				if !f.wide {
					odd = append(odd, protowire.AppendVarint(nil, f.u+1<<32))
				}
				for _, v := range odd {
					p := protowire.AppendTag(encode(c.fields[:i]), f.num, f.typ)
					refusedManifest(t, name, c.frame(slices.Concat(p, v, encode(c.fields[i+1:]))))
				}
			}
		}
		refusedManifest(t, name, c.frame(append(encode(c.fields), 0x80)))
	}
	none := manifestFields()
	none[3].u, none[6].b = 1, nil // at epoch 1 there is none before, which is not written
	refusedManifest(t, "empty field", encode(none))
	_, err := wire.ParseManifest(encode(slices.Delete(none, 6, 7)))
	require.NoError(t, err)
}

// withEndpoint is a manifest with this field as its last endpoint.
func withEndpoint(e fld) []byte { return encode(slices.Replace(manifestFields(), 8, 9, e)) }

func TestManifestRanges(t *testing.T) {
	number := func(i int, values ...uint64) (out [][]byte) {
		for _, v := range values {
			fs := manifestFields()
			if fs[i].u = v; v == 0 {
				fs = slices.Delete(fs, i, i+1)
			}
			out = append(out, encode(fs))
		}
		return out
	}
	text := func(i int, values ...string) (out [][]byte) {
		for _, v := range values {
			fs := manifestFields()
			if fs[i].b = []byte(v); v == "" {
				fs = slices.Delete(fs, i, i+1)
			}
			out = append(out, encode(fs))
		}
		return out
	}
	inside := func(fields func() []fld, put func([]fld) fld) func(int, ...any) [][]byte {
		return func(i int, values ...any) (out [][]byte) {
			for _, v := range values {
				fs := fields()
				if n, ok := v.(int); ok {
					fs[i].u = uint64(n)
				} else {
					fs[i].b = []byte(v.(string))
				}
				if v == 0 || v == "" {
					fs = slices.Delete(fs, i, i+1)
				}
				out = append(out, withEndpoint(put(fs)))
			}
			return out
		}
	}
	endpoint := inside(endpointFields, func(fs []fld) fld { return sub(8, fs) })
	provider := inside(providerFields, func(fs []fld) fld { return sub(8, slices.Replace(endpointFields(), 3, 4, sub(4, fs))) })
	const long = 33 + 1
	for name, bad := range map[string][][]byte{
		"version": number(0, 0, 2), "account": text(1, "", strings.Repeat("a", 65), "\xFF"), "kind": number(2, 0, 4, math.MaxUint32),
		"epoch": number(3, 0, 1), "not before": number(4, 0, signedAt-1, signedAt+31*86400, math.MaxUint64), "not after": number(5, 0, signedAt-1, signedAt+30*86400+1, 1<<41),
		"previous": text(6, "", string(seq(31)), string(seq(33))), "key": text(9, "", string(seq(32)), string(seq(long))),
		"device": endpoint(0, 0, 1, 128), "identity": endpoint(1, "", string(seq(32)), string(seq(long))), "controller": endpoint(2, 0, 1, 2, 3, 6),
		"no provider": endpoint(3, ""), "storage": endpoint(4, 0, 4), "region": endpoint(5, "\xFF"), "readers": endpoint(6, 16), "uses": endpoint(7, 16),
		"end": endpoint(8, 0, signedAt+30*86400-1), "name": provider(0, "", "\xFF"), "domain": provider(1, "", "Host.example", "höst.example", "host example", "\x00"),
		"provider key": provider(2, "", string(seq(32)), string(seq(long))), "provider of one's own": {withEndpoint(sub(8, slices.Replace(endpointFields(), 2, 3, num32(3, 2))))},
		"empty": {{}}, "no endpoint": {encode(slices.Delete(manifestFields(), 7, 9))},
	} {
		for _, b := range bad {
			refusedManifest(t, name, b)
		}
	}
	for name, good := range map[string][][]byte{
		"kind": number(2, 1, 3), "epoch": number(3, 2, math.MaxUint64), "account": text(1, strings.Repeat("a", 64)), "not after": number(5, signedAt),
		"device": endpoint(0, 2, 127), "controller": endpoint(2, 5), "storage": endpoint(4, 1, 2), "region": endpoint(5, ""), "readers": endpoint(6, 0, 9),
		"uses": endpoint(7, 0), "end": endpoint(8, signedAt+30*86400),
	} {
		for _, b := range good {
			_, err := wire.ParseManifest(b)
			require.NoError(t, err, name)
		}
	}
}

func TestManifestEndpoints(t *testing.T) {
	fs := slices.Delete(manifestFields(), 7, 9)
	for n := range 64 {
		var endpoints []fld
		for i := range n {
			e := ownEndpoint()
			e[0].u = uint64(1 + i)
			endpoints = append(endpoints, sub(8, e))
		}
		_, err := wire.ParseManifest(encode(slices.Insert(slices.Clone(fs), 7, endpoints...)))
		if n < 1 || n > 32 {
			require.ErrorIs(t, err, wire.ErrMalformed, "%d", n)
			continue
		}
		require.NoError(t, err, "%d", n)
	}
}

// What is around a manifest: as many signatures as there are endpoints, and of
// those the right ones.
func TestSignedManifest(t *testing.T) {
	in := encode(manifestFields())
	own, hosted := sub(4, []fld{raw(1, seq(64))}), sub(4, []fld{raw(1, seq(64)), raw(2, seq(64))})
	for name, fs := range map[string][]fld{
		"nothing": {}, "no manifest": signedManifest(in)[1:], "no signature": {raw(1, in), own, hosted}, "short": {raw(1, in), raw(3, seq(63)), own, hosted},
		"few": {raw(1, in), raw(3, seq(64)), own}, "many": {raw(1, in), raw(3, seq(64)), own, hosted, own}, "order": {raw(1, in), raw(3, seq(64)), hosted, own},
		"no endpoint's": {raw(1, in), raw(3, seq(64)), sub(4, nil), hosted}, "long": {raw(1, in), raw(3, seq(64)), own, sub(4, []fld{raw(1, seq(64)), raw(2, seq(65))})},
		"very many": append(signedManifest(in), slices.Repeat([]fld{own}, 40)...),
	} {
		s, m, err := wire.ParseSignedManifest(encode(fs))
		require.ErrorIs(t, err, wire.ErrMalformed, name)
		require.Nil(t, s)
		require.Nil(t, m)
	}
	s, m, err := wire.ParseSignedManifest(make([]byte, wire.MaxManifest+1))
	require.ErrorIs(t, err, wire.ErrTooLarge)
	require.Nil(t, s)
	require.Nil(t, m)
	_, err = wire.ParseManifest(make([]byte, wire.MaxManifest+1))
	require.ErrorIs(t, err, wire.ErrTooLarge)
	for _, u := range unknown() { // it is not signed itself
		_, _, err := wire.ParseSignedManifest(append(bytes.Clone(u), encode(signedManifest(in))...))
		require.NoError(t, err)
	}
	whole := encode(signedManifest(in))
	for i := range whole {
		if s, _, err := wire.ParseSignedManifest(whole[:i]); err == nil {
			require.NotNil(t, s)
			t.Fatal("read in part")
		}
	}
}

// FuzzManifest: what is read is canonical, and so the very bytes.
func FuzzManifest(f *testing.F) {
	in := encode(manifestFields())
	f.Add(in)
	f.Add(encode(signedManifest(in)))
	f.Add(encode(slices.Delete(manifestFields(), 8, 9)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		fixpoint(t, b, roundManifest)
		fixpoint(t, b, roundSignedManifest)
		if again, err := roundManifest(b); err == nil {
			require.Equal(t, b, again)
		}
	})
}

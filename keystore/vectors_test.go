package keystore_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

var update = flag.Bool("update", false, "write the vectors of encrypted stores anew")

const vectorsFile = "keystore/encrypted-vectors.json"

// A vector is an encrypted store with one record, byte for byte.
type vector struct {
	Comment      string       `json:"comment"`
	Blind        bool         `json:"blind"`
	Key          testutil.Hex `json:"key,omitempty"` // or Passphrase and its cost
	Passphrase   string       `json:"passphrase,omitempty"`
	Time         uint32       `json:"time,omitempty"`
	Memory       uint32       `json:"memory,omitempty"`
	Threads      uint8        `json:"threads,omitempty"`
	DataKey      testutil.Hex `json:"dataKey"`
	BlindingKey  testutil.Hex `json:"blindingKey"`
	Salt         testutil.Hex `json:"salt"`
	HeaderNonce  testutil.Hex `json:"headerNonce"`
	Nonce        testutil.Hex `json:"nonce"`
	Record       row          `json:"record"`
	StoredHeader row          `json:"storedHeader"`
	StoredRecord row          `json:"storedRecord"`
}

// A row is a record, with parts that are any bytes.
type row struct {
	Scope testutil.Hex `json:"scope"`
	Kind  testutil.Hex `json:"kind"`
	Owner testutil.Hex `json:"owner"`
	Name  testutil.Hex `json:"name"`
	Value testutil.Hex `json:"value"`
}

func (r *row) key() keystore.Key {
	return keystore.Key{Scope: string(r.Scope), Kind: string(r.Kind), Owner: string(r.Owner), Name: string(r.Name)}
}

func rowOf(r keystore.Record) row {
	return row{[]byte(r.Key.Scope), []byte(r.Key.Kind), []byte(r.Key.Owner), []byte(r.Key.Name), r.Value}
}

type vectors struct {
	About   string   `json:"about"`
	Vectors []vector `json:"vectors"`
}

func (v *vector) unlock() keystore.Unlock {
	if v.Key == nil {
		return phrase(v.Passphrase)
	}
	return keystore.Unlock{Key: (*[32]byte)(v.Key)}
}

// stored makes the store with the coins of the vector, and returns what the
// store beneath holds.
func (v *vector) stored(t *testing.T) (header, record row) {
	t.Helper()
	inner := newLasting()
	defer testutil.ScriptRand(t, v.DataKey, v.BlindingKey, v.Salt, v.HeaderNonce, v.Nonce)()
	s := openEncrypted(t, inner, v.unlock(), &keystore.EncryptedOptions{Blind: v.Blind, Time: v.Time, Memory: v.Memory, Threads: v.Threads})
	testutil.Commit(t, s, testutil.Put(v.Record.key(), 0, string(v.Record.Value)))
	for _, r := range testutil.Records(t, inner) {
		if r.Key == keystore.HeadKey {
			header = rowOf(r)
		} else {
			record = rowOf(r)
		}
	}
	return header, record
}

// The format of an encrypted store is for ever.
func TestEncryptedVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var all vectors
	testutil.ReadJSON(t, vectorsFile, &all)
	require.Len(t, all.Vectors, 4)
	for _, v := range all.Vectors {
		t.Run(v.Comment, func(t *testing.T) {
			header, record := v.stored(t)
			require.Equal(t, v.StoredHeader, header)
			require.Equal(t, v.StoredRecord, record)
			v.opens(t)
			v.independently(t)
		})
	}
}

// opens opens the stored bytes.
func (v *vector) opens(t *testing.T) {
	t.Helper()
	inner := newLasting()
	for _, r := range []row{v.StoredHeader, v.StoredRecord} {
		testutil.Commit(t, inner, testutil.Put(r.key(), 0, string(r.Value)))
	}
	s := openEncrypted(t, inner, v.unlock(), nil)
	require.Equal(t, []byte(v.Record.Value), testutil.Load(t, s, v.Record.key()).Value)
	require.Len(t, testutil.All(t, s, string(v.Record.Scope), string(v.Record.Kind), string(v.Record.Owner)), 1)
}

// independently computes the stored bytes from the documented layout, with the
// primitives alone.
func (v *vector) independently(t *testing.T) {
	t.Helper()
	be32 := binary.BigEndian.AppendUint32
	flag, salt, lock := byte(0), make([]byte, 16), []byte(v.Key)
	if v.Blind {
		flag = 1
	}
	if v.Key == nil {
		salt = v.Salt
		lock = argon2.IDKey([]byte(v.Passphrase), salt, v.Time, v.Memory, v.Threads, 32)
	}
	head := append(be32(be32([]byte{1, flag}, v.Time), v.Memory), v.Threads)
	head = be32(append(head, salt...), 1)
	body := append(be32(bytes.Clone(v.BlindingKey), 1), v.DataKey...)
	head = append(append(bytes.Clone(head), v.HeaderNonce...), xchacha(t, lock, v.HeaderNonce, body, head)...)
	sum := sha256.Sum256(head)
	require.Equal(t, testutil.Hex(append(head, sum[:8]...)), v.StoredHeader.Value)
	require.Equal(t, keystore.Key{Scope: "encryption", Kind: "header"}, v.StoredHeader.key())

	r, stored, plain := v.Record, v.Record, []byte(v.Record.Value)
	if v.Blind {
		stored.Owner = v.mac([]byte("owner"), r.Owner)
		stored.Name = v.mac([]byte("name"), r.Scope, r.Kind, r.Owner, r.Name)
		plain = append(parts(r.Owner, r.Name), plain...)
	}
	ad := parts(stored.Scope, stored.Kind, stored.Owner, stored.Name)
	stored.Value = append(append(be32([]byte{1}, 1), v.Nonce...), xchacha(t, v.DataKey, v.Nonce, plain, ad)...)
	require.Equal(t, stored, v.StoredRecord)
}

func xchacha(t *testing.T, key, nonce, plain, ad []byte) []byte {
	t.Helper()
	aead, err := chacha20poly1305.NewX(key)
	require.NoError(t, err)
	return aead.Seal(nil, nonce, plain, ad)
}

func (v *vector) mac(msg ...[]byte) []byte {
	mac := hmac.New(sha256.New, v.BlindingKey)
	for _, p := range msg {
		mac.Write(parts(p))
	}
	return mac.Sum(nil)
}

func parts[B ~[]byte](all ...B) (out []byte) {
	for _, p := range all {
		out = append(binary.AppendUvarint(out, uint64(len(p))), p...)
	}
	return out
}

// writeVectors makes the file anew. Coins are the hashes of their names.
func writeVectors(t *testing.T) {
	t.Helper()
	coins := func(name string, n int) []byte {
		sum := sha256.Sum256([]byte(name))
		return sum[:n]
	}
	all := vectors{About: "encrypted stores with one record each, all parts of keys and values in hexadecimal"}
	for _, v := range []vector{
		{Comment: "key, plain names", Key: coins("key", 32)},
		{Comment: "key, blind names", Key: coins("key", 32), Blind: true},
		{Comment: "passphrase, plain names", Passphrase: "caf\u00e9 au lait", Time: 2, Memory: 64, Threads: 3},
		{Comment: "passphrase, blind names", Passphrase: "correct horse", Time: 3, Memory: 16384, Threads: 4, Blind: true},
	} {
		v.DataKey, v.BlindingKey = coins(v.Comment+" data key", 32), coins(v.Comment+" blinding key", 32)
		v.Salt, v.HeaderNonce, v.Nonce = coins(v.Comment+" salt", 16), coins(v.Comment+" header nonce", 24), coins(v.Comment+" nonce", 24)
		v.Record = row{[]byte("alice/1"), []byte("session"), []byte("bob"), []byte("\x00\xff2"), []byte("a value, 1 to 9: " + v.Comment)}
		v.StoredHeader, v.StoredRecord = v.stored(t)
		all.Vectors = append(all.Vectors, v)
	}
	b, err := json.MarshalIndent(all, "", " ")
	require.NoError(t, err)
	path := filepath.Join(testutil.Root(t), "testdata", filepath.FromSlash(vectorsFile))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, append(b, '\n'), 0o644))
}

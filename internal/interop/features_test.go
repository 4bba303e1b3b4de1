package interop_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
)

// featureVectors reads one part of the vectors of groups, sealed envelopes,
// fingerprints and attachments.
func featureVectors(t *testing.T, part string) func(name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", "testdata", "sealed-groups-fingerprint", "sealed-groups-fingerprint-vectors.json"))
	require.NoError(t, err)
	var all map[string]map[string]any
	require.NoError(t, json.Unmarshal(file, &all))
	return func(name string) []byte {
		t.Helper()
		s, ok := all[part][name].(string)
		require.True(t, ok, "%s: %s", part, name)
		b, err := hex.DecodeString(s)
		if err != nil {
			return []byte(s)
		}
		return b
	}
}

const (
	vectorAlice   = "9d0652a3-dcc3-4d11-975f-74d61598733f"
	vectorBob     = "796abedb-ca4e-4f18-8803-1fde5b921f9f"
	vectorExpires = 1_700_000_000_000
)

// vectorParty is a party with one of the vectors' private keys.
func vectorParty(t *testing.T, p *interop.Peer, name string, private []byte) *interop.Party {
	t.Helper()
	a, err := p.NewParty(interop.PartyOptions{Name: name, Device: 1, RegistrationID: 0x1234, Identity: private})
	require.NoError(t, err)
	return a
}

// The helpers for certificates say what the vectors say.
func TestPeerCertificates(t *testing.T) {
	p, v := interop.Share(t), featureVectors(t, "main")
	server, err := p.Parse(interop.KindServerCertificate, v("server_cert"))
	require.NoError(t, err)
	require.Equal(t, &interop.Parsed{Bytes: v("server_cert"), Failed: map[string]string{}, Fields: interop.Fields{
		KeyID: 1, Public: v("server_pub"), Certificate: v("server_cert_data"), Signature: v("server_cert_sig")}}, server)
	e164 := "+14151111111"
	full, err := p.Parse(interop.KindSenderCertificate, v("sender_cert_string"))
	require.NoError(t, err)
	require.Equal(t, interop.Fields{UUID: vectorAlice, E164: &e164, DeviceID: 1, Public: v("alice_pub"), Timestamp: vectorExpires,
		Server: v("server_cert"), Certificate: v("sender_cert_string_data"), Signature: v("sender_cert_string")[210:]}, full.Fields)
	// The certificate by reference is one that the official library knows.
	byID, err := p.Parse(interop.KindSenderCertificate, v("sender_cert_byid"))
	require.NoError(t, err)
	require.Empty(t, byID.Failed)
	require.Equal(t, vectorAlice, byID.Fields.UUID)
	require.Nil(t, byID.Fields.E164)
	known, err := p.Parse(interop.KindServerCertificate, byID.Fields.Server)
	require.NoError(t, err)
	require.EqualValues(t, 0x7357C357, known.Fields.KeyID)

	for _, c := range []struct {
		certificate []byte
		late        int64
		roots       [][]byte
		want        bool
	}{
		{v("sender_cert_string"), 0, [][]byte{v("trust_pub")}, true},
		{v("sender_cert_string"), 0, [][]byte{v("bob_pub"), v("trust_pub")}, true},
		{v("sender_cert_string"), 1, [][]byte{v("trust_pub")}, false},
		{v("sender_cert_string"), 0, [][]byte{v("bob_pub")}, false},
		{v("sender_cert_string"), 0, nil, false},
		{v("sender_cert_byid"), 0, [][]byte{v("zero_trust_pub")}, true},
		{v("sender_cert_byid"), 1, [][]byte{v("zero_trust_pub")}, false},
	} {
		got, err := p.ValidCertificate(c.certificate, time.UnixMilli(vectorExpires+c.late), c.roots...)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	issued, err := p.ServerCertificate(1, v("server_pub"), v("trust_priv"))
	require.NoError(t, err)
	sender, err := p.SenderCertificate(interop.Claims{User: vectorAlice, E164: &e164, Device: 1, Identity: v("alice_pub"), Expires: vectorExpires},
		issued, v("server_priv"))
	require.NoError(t, err)
	got, err := p.ValidCertificate(sender, time.UnixMilli(vectorExpires), v("trust_pub"))
	require.NoError(t, err)
	require.True(t, got)
}

// The helpers for envelopes read those of the vectors, and their own.
func TestPeerSealed(t *testing.T) {
	p, v, w := interop.Share(t), featureVectors(t, "main"), featureVectors(t, "compact_sealed_sender")
	alice, bob := vectorParty(t, p, vectorAlice, v("alice_priv")), vectorParty(t, p, vectorBob, v("bob_priv"))
	content, err := p.Parse(interop.KindSealedContent, v("usmc_full"))
	require.NoError(t, err)
	require.Equal(t, interop.Hex(v("usmc_full")), content.Bytes)
	require.Equal(t, interop.SenderKey, content.Fields.Type)
	require.EqualValues(t, 1, content.Fields.Hint)
	require.Len(t, *content.Fields.Group, 32)
	for _, envelope := range [][]byte{w("v1"), w("v2_recv")} {
		got, err := bob.Unseal(envelope)
		require.NoError(t, err)
		require.Equal(t, w("usmc"), got)
		peerError(t, second(alice.Unseal(envelope)), "Generic")
	}
	for _, sent := range [][]byte{w("v2_sent"), w("v2_sent22")} {
		got, err := p.Split(sent)
		require.NoError(t, err)
		require.Equal(t, &interop.Delivery{Excluded: []string{"3f0f4734-e331-4434-bd4f-6d8f6ea6dcc7"}[:len(got.Excluded)],
			Recipients: []interop.DeliveryRecipient{{User: vectorBob, Bytes: w("v2_recv"),
				Devices: []interop.DeliveryDevice{{1, 0x1234}, {3, 0x2abc}}}}}, got)
	}
	single, err := p.Single(w("v2_sent22"))
	require.NoError(t, err)
	require.Equal(t, w("v2_recv"), single)

	begin(t, alice, bob, interop.BundleOptions{})
	o := interop.SealOptions{Certificate: v("sender_cert_string"), Hint: 2, Group: &interop.Hex{1, 2}}
	root, at := v("trust_pub"), time.UnixMilli(vectorExpires)
	for _, text := range []string{"first", "second"} {
		wrapped, err := alice.WrapEncrypt(bob.Address, []byte(text), o)
		require.NoError(t, err)
		envelope, err := alice.Seal(bob.Address, wrapped)
		require.NoError(t, err)
		opened, err := bob.OpenSealed(envelope, root, at, "")
		require.NoError(t, err)
		require.Equal(t, vectorAlice, opened.UUID)
		require.Equal(t, "+14151111111", *opened.E164)
		require.EqualValues(t, 1, opened.Device)
		require.Equal(t, text, string(opened.Plaintext))
	}
	envelope, err := alice.SealText(bob.Address, []byte("third"), v("sender_cert_string"))
	require.NoError(t, err)
	peerError(t, second(bob.OpenSealed(envelope, root, at.Add(time.Millisecond), "")), "Generic")
	opened, err := bob.OpenSealed(envelope, root, at, "")
	require.NoError(t, err)
	require.Equal(t, "third", string(opened.Plaintext))

	const id = "d1d1d1d1-7000-11eb-b32a-33b8a8a487a6"
	distribution, err := alice.SenderKeyDistribution(id)
	require.NoError(t, err)
	require.NoError(t, bob.ProcessSenderKey(alice.Address, distribution))
	wrapped, err := alice.WrapGroup(id, []byte("to all"), o)
	require.NoError(t, err)
	sent, err := alice.SealMany([]interop.Address{bob.Address}, []string{vectorAlice}, wrapped)
	require.NoError(t, err)
	delivery, err := p.Split(sent)
	require.NoError(t, err)
	require.Equal(t, []string{vectorAlice}, delivery.Excluded)
	got, err := bob.Unseal(delivery.Recipients[0].Bytes)
	require.NoError(t, err)
	require.Equal(t, wrapped, got)
	content, err = p.Parse(interop.KindSealedContent, got)
	require.NoError(t, err)
	text, err := bob.GroupDecrypt(alice.Address, content.Fields.Body)
	require.NoError(t, err)
	require.Equal(t, "to all", string(text))

	wrapped, err = p.WrapPlaintext(v("plaintext_content"), o)
	require.NoError(t, err)
	content, err = p.Parse(interop.KindSealedContent, wrapped)
	require.NoError(t, err)
	require.Equal(t, interop.Plaintext, content.Fields.Type)
	require.Equal(t, interop.Hex(v("plaintext_content")), content.Fields.Body)
}

// So do those for group messages.
func TestPeerSenderKeyMessages(t *testing.T) {
	p, v := interop.Share(t), featureVectors(t, "main")
	dist, err := p.Parse(interop.KindSenderKeyDistribution, v("skdm"))
	require.NoError(t, err)
	require.Equal(t, interop.Hex(v("skdm")), dist.Bytes)
	require.Equal(t, interop.Fields{DistributionID: "d1d1d1d1-7000-11eb-b32a-33b8a8a487a6", ChainID: 0x1234abcd, ChainKey: dist.Fields.ChainKey}, dist.Fields)
	again, err := p.SendBuild(interop.KindSenderKeyDistribution, interop.BuildOptions{Version: 3, DistributionID: dist.Fields.DistributionID,
		ChainID: 0x1234abcd, ChainKey: dist.Fields.ChainKey, Public: v("skg_sign_pub")}).Parsed()
	require.NoError(t, err)
	require.Equal(t, dist, again)
	m, err := p.Parse(interop.KindSenderKeyMessage, v("skm_2"))
	require.NoError(t, err)
	require.Equal(t, interop.Hex(v("skm_2")), m.Bytes)
	require.EqualValues(t, 2, m.Fields.Iteration)
	again, err = p.SendBuild(interop.KindSenderKeyMessage, interop.BuildOptions{Version: 3, DistributionID: m.Fields.DistributionID,
		ChainID: 0x1234abcd, Iteration: 2, Ciphertext: m.Fields.Body, Private: featureVectors(t, "sender_key_edge_cases")("sign_priv")}).Parsed()
	require.NoError(t, err)
	require.Equal(t, m.Fields, again.Fields)
}

func TestPeerFingerprints(t *testing.T) {
	p, v := interop.Share(t), featureVectors(t, "main")
	alice := interop.FingerprintParty{ID: interop.Hex("+14151111111"), Key: v("alice_pub")}
	bob := interop.FingerprintParty{ID: interop.Hex("+14152222222"), Key: v("bob_pub")}
	ours, err := p.SendFingerprint(5200, 1, alice, bob).Fingerprint()
	require.NoError(t, err)
	require.Equal(t, "131634052168828387825076089263981130445754578732151531884638", ours.Displayable)
	require.Equal(t, interop.Hex(v("fp_scan_alice_v1")), ours.Scannable)
	theirs, err := p.SendFingerprint(5200, 1, bob, alice).Fingerprint()
	require.NoError(t, err)
	require.Equal(t, ours.Displayable, theirs.Displayable)
	same, err := p.SendCompareFingerprints(ours.Scannable, theirs.Scannable).Valid()
	require.NoError(t, err)
	require.True(t, same)
	same, err = p.SendCompareFingerprints(ours.Scannable, ours.Scannable).Valid()
	require.NoError(t, err)
	require.False(t, same)
	_, err = p.SendCompareFingerprints(ours.Scannable, v("fp_scan_bob_v2")).Valid()
	requirePeerError(t, err)
	_, err = p.SendFingerprint(1, 1, alice, bob).Fingerprint()
	requirePeerError(t, err)
}

func TestPeerIncrementalMACs(t *testing.T) {
	p, v := interop.Share(t), featureVectors(t, "incremental_mac_attachment_padding")
	o := interop.MACOptions{Key: make(interop.Hex, 32), ChunkSize: 32, Piece: 7}
	for i := range o.Key {
		o.Key[i] = 2
	}
	for i := range 100 {
		o.Data = append(o.Data, byte(i))
	}
	macs, err := p.SendIncrementalMAC(o).Bytes()
	require.NoError(t, err)
	require.Equal(t, v("inc32"), macs)
	check, err := p.VerifyIncrementalMAC(o, macs)
	require.NoError(t, err)
	require.Equal(t, &interop.MACCheck{Released: 100}, check)
	macs[40] ^= 1
	check, err = p.VerifyIncrementalMAC(o, macs)
	require.NoError(t, err)
	require.EqualValues(t, 32, check.Released)
	require.NotEmpty(t, check.Failed)

	o.Data = o.Data[:96]
	macs, err = p.SendIncrementalMAC(o).Bytes()
	require.NoError(t, err)
	require.Equal(t, v("inc32_96"), macs)
	o.Data = nil
	macs, err = p.SendIncrementalMAC(o).Bytes()
	require.NoError(t, err)
	require.Equal(t, v("inc32_0"), macs)

	// Repeated data is the data that it spells.
	long := interop.MACOptions{Key: o.Key, Data: interop.Hex("abcdefg"), Size: 500_000, Piece: 999}
	spelt := long
	spelt.Data, spelt.Piece = make(interop.Hex, long.Size), 0
	for i := range spelt.Data {
		spelt.Data[i] = long.Data[i%7]
	}
	macs, err = p.SendIncrementalMAC(long).Bytes()
	require.NoError(t, err)
	require.Len(t, macs, 8*32)
	again, err := p.SendIncrementalMAC(spelt).Bytes()
	require.NoError(t, err)
	require.Equal(t, again, macs)
	for size, want := range map[uint32]uint32{0: 65536, 16_777_216: 65536, 16_777_217: 65537, 20_000_000: 78125, 1<<32 - 1: 2_097_152} {
		got, err := p.MACChunkSize(size)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

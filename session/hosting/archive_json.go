package hosting

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// readable says what is shown of the records that are not the app's, by type.
var readable = map[string]func(r *ArchiveRecord) (any, error){
	typeIdentity: identityText,
	typeDevice:   deviceText,
	typeGroup:    groupText,
	typeLabel:    labelText,
	typeConsent:  consentText,
	typeAccount:  accountText,
}

// JSON returns r as one line of JSON, for the person whose archive it is to read:
// its type, name and time, and what it says as "value". Times are in UTC, keys and
// hashes in hexadecimal; characters that cannot be seen are escaped. Of an account
// it shows no private key. What is the app's, or of a type that nobody knows here,
// has its bytes in base64, as "data". There is no way back: to be written to another
// archive, records stay as they are.
//
// Errors are session.ErrMalformed and session.ErrTooLarge, for data that is not what
// the type says.
func (r *ArchiveRecord) JSON() ([]byte, error) {
	out := struct {
		Type  string `json:"type"`
		Name  string `json:"name,omitempty"`
		Time  string `json:"time,omitempty"`
		Value any    `json:"value,omitempty"`
		Data  []byte `json:"data,omitempty"`
	}{Type: r.Type, Name: r.Name}
	if !r.Time.IsZero() {
		out.Time = timeText(uint64(max(1, r.Time.UnixMilli())))
	}
	if text := readable[r.Type]; text == nil {
		out.Data = r.Data
	} else {
		var err error
		if out.Value, err = text(r); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("%w: record that has no text", wire.ErrMalformed)
	}
	return visible(b), nil
}

// visible escapes what would change how JSON is seen, such as the order of its
// letters. Outside of strings it has nothing but ASCII.
func visible(b []byte) []byte {
	if !bytes.ContainsFunc(b, unseen) {
		return b
	}
	var out []byte
	for _, c := range string(b) {
		switch {
		case !unseen(c):
			out = append(out, string(c)...)
		case c > math.MaxUint16:
			c -= 1 << 16
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xD800+c>>10, 0xDC00+c&0x3FF)
		default:
			out = fmt.Appendf(out, `\u%04x`, c)
		}
	}
	return out
}

func unseen(c rune) bool { return c >= 0x7F && !unicode.IsGraphic(c) }

// timeText is a time in milliseconds since 1970; 0 is none.
func timeText(ms uint64) string {
	if ms == 0 {
		return ""
	}
	return moment(ms).Format("2006-01-02T15:04:05.000Z07:00")
}

func identityText(r *ArchiveRecord) (any, error) {
	id, err := wire.ParseIdentity(r.Data)
	if err != nil {
		return nil, err
	}
	return struct {
		Accepted   string `json:"accepted_key,omitempty"`
		AcceptedAt string `json:"accepted_at,omitempty"`
		Seen       string `json:"last_seen_key,omitempty"`
		Verified   bool   `json:"compared_by_user"`
	}{hex.EncodeToString(id.Accepted), timeText(id.AcceptedAt), hex.EncodeToString(id.Seen), id.Verified}, nil
}

func deviceText(r *ArchiveRecord) (any, error) {
	p, err := wire.ParsePeer(r.Data)
	if err != nil {
		return nil, err
	}
	type device struct {
		Device         uint32 `json:"device"`
		RegistrationID uint32 `json:"registration_id,omitempty"`
		Gone           string `json:"gone_since,omitempty"`
	}
	devices := make([]device, len(p.Devices))
	for i, d := range p.Devices {
		devices[i] = device{d.ID, d.RegistrationID, timeText(d.StaleSince)}
	}
	return struct {
		Devices []device `json:"devices"`
		Blocked bool     `json:"blocked"`
		Listed  string   `json:"listed_at,omitempty"`
	}{devices, p.Blocked, timeText(p.ListedAt)}, nil
}

func groupText(r *ArchiveRecord) (any, error) {
	g, err := wire.ParseGroup(r.Data)
	if err != nil {
		return nil, err
	}
	type device struct {
		User   string `json:"user"`
		Device uint32 `json:"device,omitempty"` // none: all of them
	}
	var without []device
	for _, d := range g.Exclude {
		without = append(without, device{d.User, d.Device})
	}
	return struct {
		ID      string   `json:"id"`
		Members []string `json:"members"`
		Without []device `json:"without,omitempty"`
	}{wire.ServiceID{UUID: [16]byte(g.ID)}.String(), slices.Concat([]string{}, g.Members), without}, nil
}

func labelText(r *ArchiveRecord) (any, error) {
	w, err := wire.ParseHosting(r.Data)
	if err != nil {
		return nil, err
	}
	rec, err := recordOf(w)
	if err != nil {
		return nil, err
	}
	return struct {
		State       State         `json:"state"`
		Since       string        `json:"since,omitempty"`
		Epoch       uint64        `json:"newest_epoch,omitempty"`
		Consented   string        `json:"agreed_without_it_at,omitempty"`
		Current     *manifestText `json:"manifest,omitempty"`
		Pending     *manifestText `json:"newer_manifest,omitempty"`
		Conflicting *manifestText `json:"contradicting_manifest,omitempty"`
	}{rec.state, timeText(w.Since), rec.epoch, timeText(w.Consented), textOf(rec.current), textOf(rec.pending), textOf(rec.conflicting)}, nil
}

// consentText shows a line of the ledger; the account is in its name.
func consentText(r *ArchiveRecord) (any, error) {
	c, err := wire.ParseConsent(r.Data)
	if err != nil {
		return nil, err
	}
	account, _ := cutLast(r.Name)
	return struct {
		Account  string `json:"account"`
		From     string `json:"from_manifest"`
		To       string `json:"to_manifest"`
		When     string `json:"at,omitempty"`
		How      string `json:"by"`
		Decision string `json:"decision"`
	}{account, hex.EncodeToString(c.From), hex.EncodeToString(c.To), timeText(c.When),
		[]string{1: "user", 2: "policy"}[c.How], []string{1: "yes", 2: "no"}[c.Decision]}, nil
}

// cutLast cuts the name of a record, as recordName made it, at its last dot.
func cutLast(name string) (owner, rest string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}

func accountText(r *ArchiveRecord) (any, error) {
	a, err := r.Account()
	if err != nil {
		return nil, err
	}
	return struct {
		User   string `json:"user"`
		Device uint32 `json:"device"`
		Key    string `json:"identity_key"`
	}{a.Address.User, a.Address.Device, hex.EncodeToString(a.Identity.Public().Bytes())}, nil
}

// The names of what a manifest says, as in the specification, by number or bit.
var (
	kindNames       = []string{"", "PERSON", "BUSINESS", "SERVICE"}
	controllerNames = []string{"", "PERSON", "OWNER_DEVICE", "OWNER_SERVER", "PROVIDER", "PLATFORM"}
	storageNames    = []string{"", "none after delivery", "owner", "provider"}
	readerNames     = []string{"staff", "automation", "AI model", "subprocessors"}
	useNames        = []string{"service", "own marketing", "platform advertising", "training"}
)

// A manifestText is a manifest in plain words.
type manifestText struct {
	Account   string         `json:"account"`
	Kind      string         `json:"kind"`
	Epoch     uint64         `json:"epoch"`
	Hash      string         `json:"hash"`
	NotBefore time.Time      `json:"not_before"`
	NotAfter  time.Time      `json:"not_after"`
	Key       string         `json:"account_key"`
	Endpoints []endpointText `json:"endpoints"`
}

type endpointText struct {
	Device     uint32        `json:"device"`
	Identity   string        `json:"identity_key"`
	Controller string        `json:"controller"`
	Provider   *providerText `json:"provider,omitempty"`
	Storage    string        `json:"storage"`
	Region     string        `json:"region,omitempty"`
	Readers    []string      `json:"readers,omitempty"`
	Uses       []string      `json:"uses,omitempty"`
	NotAfter   time.Time     `json:"not_after"`
}

type providerText struct {
	Name   string `json:"name"`
	Domain string `json:"domain"`
	Key    string `json:"key"`
}

// textOf returns a manifest that was parsed in plain words; nil is none.
func textOf(m *Manifest) *manifestText {
	if m == nil {
		return nil
	}
	hash := m.Hash()
	out := &manifestText{Account: m.Account, Kind: kindNames[m.Kind], Epoch: m.Epoch, Hash: hex.EncodeToString(hash[:]),
		NotBefore: m.NotBefore, NotAfter: m.NotAfter, Key: hex.EncodeToString(m.Key.Bytes())}
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		t := endpointText{Device: e.Device, Identity: hex.EncodeToString(e.Identity.Bytes()), Controller: controllerNames[e.Controller],
			Storage: storageNames[e.Storage], Region: e.Region, Readers: namesOf(e.Readers.bits(), readerNames), Uses: namesOf(e.Uses.bits(), useNames), NotAfter: e.NotAfter}
		if p := e.Provider; p != nil {
			t.Provider = &providerText{p.Name, p.Domain, hex.EncodeToString(p.Key.Bytes())}
		}
		out.Endpoints = append(out.Endpoints, t)
	}
	return out
}

func namesOf(bits uint8, names []string) (out []string) {
	for i, name := range names {
		if bits>>i&1 != 0 {
			out = append(out, name)
		}
	}
	return out
}

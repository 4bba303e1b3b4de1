package session

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A record value is one format byte and a body (design, Section 5). A newer
// format is keystore.ErrNewerFormat, and the record stays as it is.
const format = 1

// prefix begins every value. It has no room behind it, so whoever appends to it
// gets a slice of their own.
var prefix = []byte{format}

// ownOwner is the Owner of records about this device.
const ownOwner = "-"

// The kinds of records that a Device keeps now. Their bodies are in
// internal/wire: device.go, and the records of the storage specification.
const (
	kindSelf       = "self"
	kindUpkeep     = "upkeep"
	kindNextID     = "nextid"
	kindPreKey     = "prekey"
	kindSigned     = "signed"
	kindKEM        = "kem"
	kindLastResort = "lastresort"
	kindBaseKey    = "basekey"
	kindPeer       = "peer"
	kindIdentity   = "identity"
	kindSession    = "session"
	kindArchive    = "archive"
	kindStaged     = "staged"
	kindBody       = "body"
	kindMark       = "mark"
	kindEvent      = "event"
	kindRestore    = "restore"
	kindLink       = "link"
	kindSent       = "sent"
	kindRetry      = "retry"
)

// kindSenderKey are the sender keys that package group keeps: Owner is the user
// whose they are, Name the device, alone or with a comma and more.
const kindSenderKey = "senderkey"

// kindHosting and kindConsent are what package hosting keeps of a user, who is the
// Owner.
const (
	kindHosting = "hosting"
	kindConsent = "consent"
)

func (d *Device) key(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: d.scope, Kind: kind, Owner: owner, Name: name}
}

func (d *Device) idKey(kind string, id uint32) keystore.Key {
	return d.key(kind, ownOwner, strconv.FormatUint(uint64(id), 10))
}

func (d *Device) baseKeyKey(signed, kem uint32, hash []byte) keystore.Key {
	return d.key(kindBaseKey, fmt.Sprintf("%d,%d", signed, kem), hex.EncodeToString(hash))
}

// restoreKey names the record, without a body, of a device whose store was
// rolled back, until AfterRestore went through.
func (d *Device) restoreKey() keystore.Key { return d.key(kindRestore, ownOwner, "") }

// linkKey names the record of the link codes that were used lately.
func (d *Device) linkKey() keystore.Key { return d.key(kindLink, ownOwner, "") }

func (d *Device) peerKey(a Address) keystore.Key { return d.key(kindPeer, a.User, "") }

func (d *Device) identityKey(a Address) keystore.Key {
	return d.key(kindIdentity, a.User, deviceName(a))
}

func (d *Device) sessionKey(a Address) keystore.Key { return d.key(kindSession, a.User, deviceName(a)) }

func (d *Device) archiveKey(a Address, name []byte) keystore.Key {
	return d.key(kindArchive, a.User, deviceName(a)+","+hex.EncodeToString(name))
}

func (d *Device) stagedKey(user string, id MessageID) keystore.Key {
	return d.key(kindStaged, user, id.name())
}

func (d *Device) bodyKey(user string, id MessageID) keystore.Key {
	return d.key(kindBody, user, id.name())
}

// markKey names the mark of a message that was acknowledged on a UTC day,
// counted from 1970.
func (d *Device) markKey(day uint64, id MessageID) keystore.Key {
	return d.key(kindMark, strconv.FormatUint(day, 10), id.name())
}

func (d *Device) eventKey(owner string, id EventID) keystore.Key {
	return d.key(kindEvent, owner, hex.EncodeToString(id[:]))
}

// sentKey names the copy of a message by when it was sent, in milliseconds since
// 1970.
func (d *Device) sentKey(sentAt uint64) keystore.Key {
	return d.key(kindSent, ownOwner, strconv.FormatUint(sentAt, 10))
}

func (d *Device) retryKey(a Address) keystore.Key { return d.key(kindRetry, a.User, deviceName(a)) }

// sessionKeys are the records that a message to or from a peer device needs
// at least, those of the gate among them.
func (t *Tx) sessionKeys(a Address) []keystore.Key {
	keys := make([]keystore.Key, 0, 6) // with the gate's, and one that the first Load brings along
	return t.withGateKeys(append(keys, t.d.sessionKey(a), t.d.identityKey(a), t.d.peerKey(a)), a.User)
}

func deviceName(a Address) string { return strconv.FormatUint(uint64(a.Device), 10) }

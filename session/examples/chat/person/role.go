package person

import (
	"context"
	"encoding/json"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// kindRole is the record of what a device is in its account.
const kindRole = "role"

// A Role is what a device is in its account: whose device, and which keys it has
// beside its own. It is fixed when the device is made. The zero value is a person's
// device, whose identity key is the key of the account.
type Role struct {
	// Account is the private key of a business's account, on the business's own
	// server. It is no device's identity key, so that the account stays what it is
	// when its devices change.
	Account []byte `json:"account,omitempty"`
	// Host is the provider at which this device is, and HostKey that one's private
	// key. The key of the account is not there.
	Host    string `json:"host,omitempty"`
	Domain  string `json:"domain,omitempty"`
	HostKey []byte `json:"hostKey,omitempty"`
}

// Business is the role of a business's device on its own server.
func Business() Role { return Role{Account: keys.GenerateIdentityKeyPair().PrivateBytes()} }

// Hosted is the role of a business's device that a provider operates.
func Hosted(provider, domain string) Role {
	return Role{Host: provider, Domain: domain, HostKey: keys.GenerateIdentityKeyPair().PrivateBytes()}
}

// role returns what the device in a store is. When it is a new one that is what is asked
// for, whatever was asked for before and did not become a device.
func (n notebook) role(ctx context.Context, asked Role, isNew bool) (Role, error) {
	rec, err := n.store.Load(ctx, n.key(kindRole, ""))
	if err != nil {
		return Role{}, err
	}
	if rec[0].Version != 0 && !isNew {
		var r Role
		return r, json.Unmarshal(rec[0].Value, &r)
	}
	value, err := json.Marshal(asked)
	if err != nil {
		return Role{}, err
	}
	_, err = n.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: n.key(kindRole, ""), Expect: rec[0].Version, Value: value})
	return asked, err
}

func (r *Role) hosted() bool { return r.Host != "" }

func (r *Role) business() bool { return r.Account != nil }

func (r *Role) kind() hosting.Kind {
	if r.business() {
		return hosting.KindBusiness
	}
	return hosting.KindPerson
}

// endpoint is what is to be said of a device of this role, without its keys and
// signatures.
func (r *Role) endpoint() hosting.Endpoint {
	switch {
	case r.hosted():
		return hosting.Endpoint{
			Controller: hosting.HostedByProvider, Storage: hosting.StorageProvider,
			Readers: hosting.Readers{Staff: true, AI: true}, Uses: hosting.Uses{Service: true},
		}
	case r.business():
		return hosting.Endpoint{
			Controller: hosting.OwnerServer, Storage: hosting.StorageOwner,
			Readers: hosting.Readers{Staff: true}, Uses: hosting.Uses{Service: true},
		}
	}
	return hosting.Endpoint{Controller: hosting.Person, Storage: hosting.StorageNone}
}

package storetool

import (
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

func checkLink(k keystore.Key, body []byte) verdict {
	if !isOwn(k) {
		return bad(badKey)
	}
	links, err := wire.ParseLinks(body)
	if err != nil {
		return bad(badBytes)
	}
	for _, u := range links.Used {
		if u.At == 0 {
			return bad(badFields)
		}
	}
	return verdict{}
}

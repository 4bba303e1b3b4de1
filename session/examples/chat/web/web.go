// Package web serves the chat for browsers: the page, which runs gembok itself, and
// the relay, which does not see more than from any other app.
//
// It is for loopback: there is no login, and no TLS.
package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// policy lets a page load what comes with it, talk to the server that it came from,
// and show the pictures that it decrypted; and nothing else.
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the files in dir, which are those that Build makes, the relay below
// /relay/, and what the relay sees at /sees, as server-sent events.
//
// A browser writes every answer that is not 2xx to its console, as an error. So each
// answer below /relay/ is 200, and has the relay's own status in the header StatusHeader.
//
// It answers only to a name of this machine, since other sites may have their names
// resolve to it, and lets no page of another site talk to the relay.
func Handler(dir string, relay http.Handler, sees *Log) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", files{dir})
	mux.Handle("/relay/", sameOrigin(http.StripPrefix("/relay", plain(relay))))
	mux.Handle("/sees", sameOrigin(sees))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !IsLoopback(req.Host) {
			http.Error(w, "this server answers to names of its own machine only", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// IsLoopback reports whether a host, with or without a port, can be no other machine for
// a browser. A browser has few connections to a host, so that everybody who chats in one
// may have a host of their own, such as ani.localhost (RFC 6761, Section 6.3).
func IsLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// sameOrigin refuses what a browser does for a page of another site.
func sameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		site, origin := req.Header.Get("Sec-Fetch-Site"), req.Header.Get("Origin")
		if site != "" && site != "same-origin" && site != "none" || origin != "" && origin != "http://"+req.Host {
			http.Error(w, "this is for the page of this server only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, req)
	})
}

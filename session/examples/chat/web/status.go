package web

import (
	"net/http"
	"strconv"
)

// StatusHeader has the status of the relay's answer. An answer without it is none of
// the relay.
const StatusHeader = "Relay-Status"

// plain moves the status of each answer into StatusHeader.
func plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a := &plainAnswer{ResponseWriter: w}
		next.ServeHTTP(a, req)
		a.WriteHeader(http.StatusOK) // when there was nothing to say
	})
}

type plainAnswer struct {
	http.ResponseWriter
	begun bool
}

func (a *plainAnswer) WriteHeader(status int) {
	if !a.begun {
		a.begun = true
		a.Header().Set(StatusHeader, strconv.Itoa(status))
		a.ResponseWriter.WriteHeader(http.StatusOK)
	}
}

func (a *plainAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *plainAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

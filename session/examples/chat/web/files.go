package web

import (
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
)

// contentTypes are those of the files that are served, by the ends of their names. They
// are not the system's, which differ.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".wasm": "application/wasm",
}

// files serves the files of a folder that have such names, and their compressed copies
// beside them.
type files struct{ dir string }

func (f files) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only to be read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(req.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	w.Header().Set("Vary", "Accept-Encoding")
	kind, ok := contentTypes[path.Ext(name)]
	in, size := f.open(name, acceptsGzip(req), w.Header())
	if !ok || in == nil {
		w.Header().Del("Content-Encoding")
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	defer in.Close()
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if req.Method == http.MethodGet {
		_, _ = io.Copy(w, in) // a reader that is gone asks again
	}
}

// open opens a file of the folder, or the compressed copy of it, and nil when there is
// none.
func (f files) open(name string, compressed bool, h http.Header) (*os.File, int64) {
	if compressed {
		if in, size := f.open(name+".gz", false, h); in != nil {
			h.Set("Content-Encoding", "gzip")
			return in, size
		}
	}
	in, err := os.OpenInRoot(f.dir, name)
	if err != nil {
		return nil, 0
	}
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = in.Close()
		return nil, 0
	}
	return in, info.Size()
}

// acceptsGzip reports whether a client says so, and does not say otherwise.
func acceptsGzip(req *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(req.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

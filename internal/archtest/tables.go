package archtest

// topLevel is what stands at the module's root besides hidden names.
var topLevel = []string{
	"LICENSE", "README.md", "go.mod", "go.sum",
	"internal", "keystore", "ratchet", "session", "testdata", "x3dh",
}

// free lists the directories of test helpers, tools, and the parts of examples, which
// promise nothing to whoever imports them. What has a row in arrows is bound by that.
var free = []string{"internal/archtest", "internal/cmd", "internal/interop", "internal/testutil", "session/examples"}

// programs lists where commands may stand.
var programs = []string{"internal/cmd", "internal/interop", "session/examples"}

// arrows says which packages of this module a package may import. One that has
// no row may not exist.
//
// As levels: internal < x3dh/keys < {x3dh, ratchet, keystore}, blind to each
// other < session < features < programs. A parent never imports its children.
var arrows = map[string][]string{
	"internal/curve":  {},
	"internal/etm":    {"internal/kdf"},
	"internal/gcmsiv": {},
	"internal/kdf":    {},
	"internal/kem":    {},
	"internal/wire":   {},

	"x3dh/keys": {"internal/curve", "internal/kem"},
	"x3dh":      {"x3dh/keys", "internal/kdf", "internal/wire"},

	"ratchet/internal/erasure": {"internal/wire"},
	"ratchet/internal/braid":   {"ratchet/internal/erasure", "internal/kem", "internal/kdf", "internal/wire"},
	"ratchet/spqr":             {"ratchet/internal/braid", "internal/kdf", "internal/wire"},
	"ratchet":                  {"ratchet/spqr", "x3dh/keys", "internal/kdf", "internal/etm", "internal/wire"},

	"keystore":              {},
	"keystore/boltstore":    {"keystore"},
	"keystore/keystoretest": {"keystore"},
	"keystore/sqlstore":     {"keystore"},

	"session":             {"keystore", "x3dh", "x3dh/keys", "ratchet", "internal/kdf", "internal/wire"},
	"session/attachment":  {"internal/etm", "internal/wire"},
	"session/fingerprint": {"x3dh/keys", "internal/wire"},
	"session/group":       {"session", "keystore", "x3dh/keys", "internal/kdf", "internal/etm", "internal/wire"},
	"session/hosting":     {"session", "keystore", "x3dh/keys", "internal/wire"},
	"session/sealed": {"session", "session/group", "keystore", "x3dh/keys",
		"internal/kdf", "internal/etm", "internal/gcmsiv", "internal/wire"},

	// These go into the program of a page, too, and reach no network and no files.
	"session/examples/chat/post": {"session", "session/sealed"},
	"session/examples/chat/person": {"session/examples/chat/post", "session", "session/attachment", "session/fingerprint",
		"session/group", "session/hosting", "session/sealed", "keystore", "x3dh", "x3dh/keys"},
}

// thirdParty says who may import what of other modules, by prefix. The import
// paths that no row holds are for tests and programs.
var thirdParty = []struct{ prefix, dir string }{
	{"github.com/cloudflare/circl/dh/x25519", "internal/curve"},
	{"filippo.io/edwards25519", "internal/curve"},
	{"github.com/cloudflare/circl", "internal/kem"},
	{"google.golang.org/protobuf/encoding/protowire", "internal/wire"},
	{"golang.org/x/crypto", "keystore"},
	{"go.etcd.io/bbolt", "keystore/boltstore"},
	{"filippo.io/age", "session/hosting"},
	{"golang.org/x/text/unicode/norm", "session/hosting"},
}

// requirements is what the main go.mod may require directly.
var requirements = []string{
	"filippo.io/age", "filippo.io/edwards25519", "github.com/cloudflare/circl", "go.etcd.io/bbolt",
	"golang.org/x/crypto", "golang.org/x/text", "google.golang.org/protobuf", "rsc.io/qr",
	"github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid",
}

// copyleft lists modules that no go.mod requires, nested ones included. Peers
// under such licences are run as programs.
var copyleft = []string{
	"github.com/RadicalApp/libsignal-protocol-go", "github.com/signalapp", "github.com/crossle/libsignal-protocol-go",
	"go.mau.fi/libsignal", "go.mau.fi/whatsmeow",
}

// banned lists imports that no library package has. A prefix with "/..."
// stands for everything below too.
var banned = []string{
	"C", "unsafe", "plugin", "reflect", "syscall/...", "runtime/cgo",
	"net/...", "os/...", "log", "log/syslog", "math/rand/...", "expvar", "testing/...",
	"io/ioutil", "path/filepath", "golang.org/x/sys/...",
}

// mayImport lists the exceptions from banned. A store that has files opens
// them; a kit for tests is for tests.
var mayImport = map[string][]string{
	"keystore/boltstore":    {"os", "path/filepath", "syscall"}, // the numbers of a full disk
	"keystore/keystoretest": {"testing", "math/rand/..."},       // what it does at random is no secret
	"session/attachment":    {},
}

// streams lists the public packages that take readers, or writers, of data.
var streams = []string{"session/attachment", "session/hosting"}

// pure lists the directories whose code has no clock, no context and no
// goroutine: bytes and values in, bytes and values out.
var pure = []string{
	"internal/curve", "internal/etm", "internal/gcmsiv", "internal/kdf", "internal/kem", "internal/wire",
	"ratchet", "x3dh",
}

// impure lists what pure packages do not import.
var impure = []string{"context", "time"}

// alsoSecret lists types that hold secrets without a mark that the check would
// find.
var alsoSecret = []string{"keystore.Change", "keystore.Encrypted", "keystore.Memory", "keystore.Record", "keystore.Unlock", "keystore/boltstore.Store", "keystore/sqlstore.Store"}

// budget is how many package-level names a public package may export.
func budget(dir string) int {
	switch dir {
	case "x3dh", "ratchet":
		return 25
	case "keystore", "session/sealed":
		return 30
	case "session":
		return 80
	case "x3dh/keys":
		return 24 // eight kinds of key, each with its ways to make it
	case "session/hosting":
		return 62 // eleven are the numbers in a manifest, seven its errors, ten the archive, ten the gate
	}
	return 20
}

// badNames lists file names that say nothing about what is inside.
var badNames = []string{"util.go", "utils.go", "types.go", "common.go", "helpers.go", "misc.go"}

// notGo lists the endings of files that would bring other compilers in.
var notGo = []string{".s", ".S", ".c", ".cc", ".cpp", ".h", ".m", ".syso", ".a", ".so", ".o", ".swig", ".f"}

const maxLines = 500

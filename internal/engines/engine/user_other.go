//go:build !unix

package engine

import (
	"fmt"
	"os/exec"
)

func unprivileged(*exec.Cmd, string) error {
	return fmt.Errorf("%w: it is started on Unix only", ErrNoPostgres)
}

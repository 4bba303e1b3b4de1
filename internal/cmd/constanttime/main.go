// Command constanttime compiles a package for several processors, disassembles
// it, and fails if code that computes with secrets may take a time that depends
// on them, whatever the source looks like: compilers have put divisions
// (KyberSlash, 2023) and branches (Clangover, 2024) where there were none.
//
// A division, as an instruction or a call into the runtime, is reported in every
// function of the package. A conditional jump is reported in functions on the
// list, unless the list allows it for its source line: a loop over a constant
// range, a bounds check on a counter. See secret.txt for the form of a list.
//
// Usage:
//
//	constanttime [-package path] [-list file] [-arch amd64,386,...] [-check division,branch]
//
// It needs the go command, prints what it finds, and exits with 1 if that is
// anything.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	path := flag.String("package", "github.com/gembok-e2ee/gembok/internal/kem", "import path or ./directory of the package to check")
	list := flag.String("list", "", "file with the functions that compute with secrets")
	arch := flag.String("arch", "amd64,386,arm64,arm", "values of GOARCH to check")
	checks := flag.String("check", "division,branch", "what to look for")
	flag.Parse()
	n, err := run(*path, *list, strings.Split(*arch, ","), *checks)
	if err != nil {
		fmt.Fprintln(os.Stderr, "constanttime:", err)
		os.Exit(2)
	}
	if n > 0 {
		os.Exit(1)
	}
}

// run prints findings and returns how many there are.
func run(path, list string, archs []string, checks string) (n int, err error) {
	division, branch := strings.Contains(checks, "division"), strings.Contains(checks, "branch")
	if branch && list == "" {
		return 0, errors.New("a check for branches needs -list")
	}
	var secrets *secrets
	if branch {
		if secrets, err = readSecrets(path, list); err != nil {
			return 0, err
		}
	}
	for _, arch := range archs {
		code, err := disassemble(path, arch)
		if err != nil {
			return n, err
		}
		for _, in := range code {
			switch {
			case division && in.divides():
				fmt.Printf("%s: division in %s\n\t%s:%d: %s\n", arch, in.symbol, in.file, in.line, in.text)
				n++
			case branch && in.jumps() && !secrets.allows(in):
				fmt.Printf("%s: conditional jump in %s\n\t%s:%d: %s\n\t%s\n", arch, in.symbol, in.file, in.line, in.text, secrets.source(in))
				n++
			}
		}
		fmt.Printf("%s: %d instructions\n", arch, len(code))
	}
	return n, nil
}

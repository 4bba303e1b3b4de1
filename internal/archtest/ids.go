package archtest

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// A series is the IDs of one area of the security catalogue that have a test,
// by number.
type series struct {
	area   string
	ranges [][2]int
}

// tested lists the IDs, each of which a test is named after, such as
// TestKA_02_NonCanonicalBaseKey.
var tested = []series{
	{"KA", [][2]int{{1, 23}}},
	{"KEM", [][2]int{{1, 11}}},
	{"SIG", [][2]int{{1, 7}}},
	{"RAT", [][2]int{{1, 16}}},
	{"SPQR", [][2]int{{1, 12}}},
	{"SES", [][2]int{{1, 12}}},
	{"PRS", [][2]int{{1, 13}}},
	{"OVF", [][2]int{{1, 5}}},
	{"SIZ", [][2]int{{1, 1}}},
	{"STO", [][2]int{{1, 15}}},
	{"ATT", [][2]int{{1, 8}}},
	{"PAD", [][2]int{{1, 2}}},
	{"MEM", [][2]int{{1, 4}}},
	{"FP", [][2]int{{1, 6}}},
	{"TIM", [][2]int{{1, 1}, {3, 3}}},
	{"RNG", [][2]int{{1, 3}}},
	{"SS", [][2]int{{1, 18}}},
	{"GRP", [][2]int{{1, 13}}},
	{"LBL", [][2]int{{1, 13}}},
}

// fuzzed lists the numbers of the fuzz targets, such as FuzzF03SignalMessage.
var fuzzed = [][2]int{{1, 25}, {28, 28}, {31, 31}, {34, 34}}

var testFunc = regexp.MustCompile(`(?m)^func (Test|Fuzz)(\w+)\(`)

// IDs checks that every ID of the security catalogue has its test, and every
// number its fuzz target.
func (m *Module) IDs() (wrong []string, err error) {
	names, err := m.testNames()
	if err != nil {
		return nil, err
	}
	for _, s := range tested {
		each(s.ranges, func(n int) {
			id := fmt.Sprintf("%s_%02d", s.area, n)
			if !regexp.MustCompile(`(?m)^Test(\w*_)?` + id + `(_|$)`).MatchString(names) {
				wrong = append(wrong, "no test is named after "+id)
			}
		})
	}
	each(fuzzed, func(n int) {
		id := fmt.Sprintf("F%02d", n)
		if !regexp.MustCompile(`(?m)^Fuzz` + id + `(\D|$)`).MatchString(names) {
			wrong = append(wrong, "no fuzz target is named after "+id)
		}
	})
	return wrong, nil
}

// testNames returns the names of all tests and fuzz targets, one a line.
func (m *Module) testNames() (string, error) {
	var names strings.Builder
	for _, name := range m.Files {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := fs.ReadFile(m.fsys, name)
		if err != nil {
			return "", err
		}
		for _, match := range testFunc.FindAllSubmatch(src, -1) {
			fmt.Fprintf(&names, "%s%s\n", match[1], match[2])
		}
	}
	return names.String(), nil
}

func each(ranges [][2]int, do func(n int)) {
	for _, r := range ranges {
		for n := r[0]; n <= r[1]; n++ {
			do(n)
		}
	}
}

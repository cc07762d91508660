package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// setting is a key behind a "#" without a space, as the examples write
// defaults.
var setting = regexp.MustCompile(`(?m)^#([a-z])`)

func readExample(t *testing.T, name string) (asIs, uncommented string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), setting.ReplaceAllString(string(data), "$1")
}

// TestExamples checks that the example files are valid, that the defaults they
// show are the defaults, and that they show every key there is.
func TestExamples(t *testing.T) {
	t.Run("client.toml", func(t *testing.T) {
		asIs, uncommented := readExample(t, "client.toml")
		checkExample(t, asIs, uncommented, decodeClient)
	})
	t.Run("server.toml", func(t *testing.T) {
		asIs, uncommented := readExample(t, "server.toml")
		checkExample(t, asIs, uncommented, decodeServer)
	})
}

func checkExample[T any](t *testing.T, asIs, uncommented string, decode func(*table) *T) {
	read := func(text string) (*T, *decoder) {
		got, d, err := parseWith("example", []byte(text), false, decode)
		if err == nil {
			err = d.finish()
		}
		if err != nil {
			t.Fatal(err)
		}
		return got, d
	}
	short, _ := read(asIs)
	long, d := read(uncommented)
	if !reflect.DeepEqual(short, long) {
		t.Errorf("the defaults differ:\nin the code %+v\nin the file %+v", short, long)
	}
	for _, table := range d.order {
		for _, key := range table.known {
			name := join(table.path, key)
			if _, shown := d.doc.places[name]; !shown && name != "private_key" && !strings.HasPrefix(name, "clients[") && name != "links" && name != "qos.rule" {
				t.Errorf("%s is not shown", name)
			}
		}
	}
	for _, name := range append(sched.Names(), reseq.Names()...) {
		if !regexp.MustCompile(`(?m)^# (scheduler|reorder): .*\b` + name + `\b`).MatchString(asIs) {
			t.Errorf("the strategy %s is not shown", name)
		}
	}
	if want := fmt.Sprintf("%d to %d", wire.MinMTU, wire.MaxMTU); !strings.Contains(asIs, want) {
		t.Errorf("the bounds of mtu are not shown: %s", want)
	}
}
